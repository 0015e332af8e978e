package dev.finetune4j.lora.adapter;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What adapters refuse: use after closing, settings in conflict, files that are none. */
class AdapterErrorsTest {
    @TempDir
    Path folder;

    private static CausalLM llama() {
        return Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
    }

    @ParameterizedTest
    @ValueSource(strings = {"save_embed_norm", "tokens_head", "embed_dora", "pissa", "ptuning_mlp"})
    void aViewOfAClosedAdapterSaysSo(String variant) {
        try (CausalLM base = llama();
                TensorScope scope = new TensorScope()) {
            PeftAdapter adapter = AdapterFiles.load(TestData.resource("adapter-variants/" + variant), base);
            CausalLM view = adapter.attachTo(base);
            adapter.close();
            adapter.close();
            var tokens = base.tokens(new long[] {1, 2, 3}, 1, 3);
            for (Executable use : List.<Executable>of(
                    () -> view.hidden(ModelInput.padded(tokens)),
                    () -> view.hidden(ModelInput.cached(tokens, base.newCache())),
                    view::newCache,
                    adapter::parameters,
                    adapter::stored,
                    () -> adapter.attachTo(base))) {
                assertTrue(assertThrows(IllegalStateException.class, use)
                        .getMessage()
                        .contains("adapter is closed"));
            }
        }
    }

    private static void refused(LoraSettings settings, String... parts) {
        try (CausalLM base = llama()) {
            String message = assertThrows(
                            SettingsException.class, () -> AdapterKinds.create(base, settings, InitSources.seed(1)))
                    .getMessage();
            for (String part : parts) {
                assertTrue(message.contains(part), message);
            }
        }
    }

    @Test
    void oneModuleIsChangedInOneWayOnly() {
        TargetModules queries = TargetModules.named("q_proj");
        refused(
                LoraSettings.builder()
                        .targetModules(queries)
                        .modulesToSave("proj")
                        .build(),
                "model.layers.0.self_attn.q_proj is in more than one");
        refused(
                LoraSettings.builder()
                        .targetModules(queries)
                        .modulesToSave("model.embed_tokens")
                        .trainableTokenIndices(Map.of("embed_tokens", List.of(1)))
                        .build(),
                "model.embed_tokens is in more than one");
        Map<String, List<Integer>> twice = new LinkedHashMap<>();
        twice.put("embed_tokens", List.of(5));
        twice.put("model.embed_tokens", List.of(6, 7));
        refused(
                LoraSettings.builder()
                        .targetModules(queries)
                        .trainableTokenIndices(twice)
                        .build(),
                "two names mean the table model.embed_tokens");
        refused(
                LoraSettings.builder()
                        .targetModules(queries)
                        .trainableTokenIndices(Map.of("embed_tokens", List.of(500)))
                        .build(),
                "the trained token 500 does not exist",
                "500 rows");
        refused(
                LoraSettings.builder()
                        .targetModules(queries)
                        .modulesToSave("head")
                        .excludeModules(queries)
                        .build(),
                "no linear of the model matches");
    }

    @Test
    void aNameThatIsNoPatternIsAProblemOfTheSettings() {
        SettingsException refused = assertThrows(
                SettingsException.class,
                () -> LoraSettings.builder().modulesToSave("lm_head(").build());
        assertTrue(refused.getMessage().contains("lm_head("), refused.getMessage());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "[]|holds no JSON object",
                "{}|must be a JSON object",
                "{\"peft_type\": \"LORA\"} x|is no valid JSON (line 1, column 23: something follows the value",
                "{\"peft_type\": \"LOHA\"}|\"LOHA\" is not supported",
                "{\"peft_type\": \"LORA\", \"modules_to_save\": [\"a(\"], \"target_modules\": [\"q_proj\"]}|\"a(\" is no name",
                "{\"peft_type\": \"LORA\", \"r\": 4.0, \"target_modules\": 5}|\"r\" must be a whole number",
                "{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa_niter_4\", \"target_modules\": \"x\"}|pissa_niter_4",
                "{\"peft_type\": \"VERA\", \"r\": 0, \"target_modules\": [\"q_proj\"]}|the VeRA rank must be at least 1, but is 0",
                "{\"peft_type\": \"VERA\", \"bias\": \"lora_only\"}|must be none, vera_only or all, but is lora_only",
                "{\"peft_type\": \"VERA\", \"projection_prng_key\": 1.5}|\"projection_prng_key\" must be a whole number",
                "{\"peft_type\": \"VERA\", \"d_initial\": \"small\"}|\"d_initial\" must be a number",
                "{\"peft_type\": \"LN_TUNING\", \"target_modules\": \"all-linear\"}|LN tuning trains norms",
                "{\"peft_type\": \"P_TUNING\", \"encoder_reparameterization_type\": \"GRU\"}|must be MLP or LSTM"
            })
    void aConfigurationThatIsNoneIsNamed(String text, String part) throws IOException {
        Files.writeString(folder.resolve("adapter_config.json"), text);
        try (CausalLM base = llama()) {
            String message = assertThrows(ModelFileException.class, () -> AdapterFiles.load(folder, base))
                    .getMessage();
            assertTrue(message.contains("adapter_config.json") && message.contains(part), message);
        }
    }
}
