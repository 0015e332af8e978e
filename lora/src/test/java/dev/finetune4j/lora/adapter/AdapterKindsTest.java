package dev.finetune4j.lora.adapter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The list of kinds, and what VeRA and LN tuning make of files and settings of odd forms. */
class AdapterKindsTest {
    @TempDir
    Path folder;

    private static CausalLM llama() {
        return Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
    }

    private static float[] logits(CausalLM model) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(
                    model.hidden(ModelInput.padded(model.tokens(new long[] {1, 2, 17, 80, 5, 410}, 1, 6)))));
        }
    }

    private static float[] logits(Path adapter) {
        try (CausalLM base = llama();
                PeftAdapter loaded = AdapterFiles.load(adapter, base)) {
            return logits(loaded.attachTo(base));
        }
    }

    /** Writes PEFT's adapter with other settings, and its tensors by other names; those without a name are left out. */
    private Path changed(String adapter, UnaryOperator<ObjectNode> config, UnaryOperator<String> names)
            throws IOException {
        Path source = TestData.resource("adapter-variants/" + adapter);
        Path changed = Files.createDirectories(folder.resolve("changed"));
        JsonNode settings = TestData.json(source.resolve("adapter_config.json"));
        Files.writeString(
                changed.resolve("adapter_config.json"),
                config.apply(settings.deepCopy()).toString());
        try (SafetensorsFile weights = SafetensorsFile.open(source.resolve("adapter_model.safetensors"));
                TensorScope scope = new TensorScope()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (String name : weights.names()) {
                String other = names.apply(name);
                if (!other.isEmpty()) {
                    tensors.put(other, weights.read(name));
                }
            }
            SafetensorsWriter.write(changed.resolve("adapter_model.safetensors"), tensors);
        }
        return changed;
    }

    private static String problems(AdapterSettings settings) {
        try (CausalLM base = llama()) {
            return assertThrows(SettingsException.class, () -> AdapterKinds.create(base, settings, InitSources.seed(1)))
                    .getMessage();
        }
    }

    private static void assertIn(String message, String... parts) {
        for (String part : parts) {
            assertTrue(message.contains(part), message);
        }
    }

    private record Foreign() implements AdapterSettings {}

    @Test
    void settingsOfAnotherClassAreRefused() {
        try (CausalLM base = llama()) {
            IllegalArgumentException refused = assertThrows(
                    IllegalArgumentException.class,
                    () -> AdapterKinds.create(base, new Foreign(), InitSources.seed(1)));
            assertIn(refused.getMessage(), "Foreign is not among the settings", "LoraSettings", "VeraSettings");
        }
    }

    @Test
    void anotherTypeIsAnsweredByAllThatThereAre() throws IOException {
        Path other = changed("ln_tuning", config -> config.put("peft_type", "LOHA"), name -> name);
        assertIn(
                assertThrows(ModelFileException.class, () -> logits(other)).getMessage(),
                "\"LOHA\" is not supported",
                "LORA, IA3, PREFIX_TUNING, P_TUNING, PROMPT_TUNING, VERA, LN_TUNING");
    }

    @Test
    void bothBeginWithWhatTheBaseComputes() {
        for (AdapterSettings settings : List.of(VeraSettings.defaults(), LnTuningSettings.defaults())) {
            try (CausalLM base = llama();
                    PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1))) {
                assertTrue(TensorData.relativeError(logits(base), logits(adapter.attachTo(base))) < 1e-6);
            }
        }
    }

    @Test
    void namesOfAPlainStateDictMeanTheSame() throws IOException {
        Path vera = changed("vera", config -> config, name -> name + ".default");
        assertArrayEquals(logits(TestData.resource("adapter-variants/vera")), logits(vera));
        Path norms = changed("ln_tuning", config -> config, name -> name.replace("_layers.", "_layers.default."));
        assertArrayEquals(logits(TestData.resource("adapter-variants/ln_tuning")), logits(norms));
    }

    @Test
    void theMatricesOfAKeyAreThoseThatPeftSaved() throws IOException {
        Path drawn = changed(
                "vera",
                config -> config.put("save_projection", false),
                name -> name.startsWith("base_model.vera_") ? "" : name);
        assertArrayEquals(logits(TestData.resource("adapter-variants/vera")), logits(drawn));
        Path both = changed("vera", config -> config.put("save_projection", false), name -> name);
        assertArrayEquals(logits(TestData.resource("adapter-variants/vera")), logits(both));
    }

    @Test
    void matricesThatAreSaidToBeThereAreMissed() throws IOException {
        Path without = changed("vera", config -> config, name -> name.startsWith("base_model.vera_") ? "" : name);
        assertIn(
                assertThrows(ModelFileException.class, () -> logits(without)).getMessage(),
                "base_model.vera_A",
                "base_model.vera_B");
        Path larger = changed("vera", config -> config.put("r", 9), name -> name);
        assertIn(
                assertThrows(ModelFileException.class, () -> logits(larger)).getMessage(),
                "base_model.vera_A",
                "vera_lambda_d",
                "[9");
    }

    @Test
    void adaptersOfOneKeyShareTheirMatrices() {
        VeraSettings settings =
                VeraSettings.builder().rank(4).projectionPrngKey(3).build();
        try (CausalLM base = llama();
                PeftAdapter one = AdapterKinds.create(base, settings, InitSources.seed(1));
                PeftAdapter other = AdapterKinds.create(base, settings, InitSources.seed(2));
                TensorScope scope = new TensorScope()) {
            for (String name : List.of("base_model.vera_A", "base_model.vera_B")) {
                assertArrayEquals(
                        Tensors.toFloats(one.stored().get(name)),
                        Tensors.toFloats(other.stored().get(name)),
                        name);
                assertTrue(!one.parameters().containsKey(name), name + " is not trained");
            }
        }
    }

    @Test
    void veraSettingsThatCannotWorkAreAllNamed() {
        SettingsException refused = assertThrows(
                SettingsException.class,
                () -> VeraSettings.builder()
                        .rank(0)
                        .dropout(1)
                        .dInitial(Double.NaN)
                        .modules(new ModuleSelection(
                                TargetModules.allLinear(), TargetModules.named("q_proj"), List.of(), List.of()))
                        .build());
        assertEquals(4, refused.problems().size(), refused.getMessage());
        assertIn(problems(VeraSettings.builder().dInitial(0).build()), "must not start at 0");
        assertIn(
                problems(VeraSettings.builder()
                        .targetModules(TargetModules.named("q_proj", "query"))
                        .build()),
                "no linear of the model matches the target module(s) query",
                "down_proj, gate_proj");
        assertIn(
                problems(VeraSettings.builder()
                        .targetModules(TargetModules.named("embed_tokens"))
                        .build()),
                "no linear of the model matches the target module(s) embed_tokens");
        assertIn(
                problems(VeraSettings.builder().modulesToSave("q_proj", "proj").build()),
                "model.layers.0.mlp.up_proj is among the targets and the modules trained whole");
    }

    @Test
    void lnTuningTrainsSingleModules() {
        assertIn(
                problems(LnTuningSettings.of(TargetModules.named("norm", "ln_f"))),
                "no module of the model matches the target module(s) ln_f; it has down_proj, embed_tokens,");
        assertIn(
                problems(LnTuningSettings.of(TargetModules.matching(".*(norm|layers\\.1|q_proj)"))),
                "mean modules that hold others (model.layers.1)");
        assertIn(
                problems(new LnTuningSettings(
                        ModuleSelection.of(TargetModules.named("input_layernorm")), List.of("norm"))),
                "model.layers.1.input_layernorm is among the targets and the modules trained whole");
        ModuleSelection layers = new ModuleSelection(TargetModules.named("norm"), null, List.of(1), List.of());
        assertIn(
                assertThrows(SettingsException.class, () -> new LnTuningSettings(layers, List.of()))
                        .getMessage(),
                "cannot choose layers by their numbers");
        assertIn(
                assertThrows(
                                SettingsException.class,
                                () -> new Ia3Settings(layers, TargetModules.named("down_proj"), List.of()))
                        .getMessage(),
                "(IA)³ cannot choose layers by their numbers");
    }

    @Test
    void normsOfAnotherFamilyAreAnsweredByThoseThatThereAre() throws IOException {
        Path foreign = changed(
                "ln_tuning",
                config -> config.set("target_modules", config.arrayNode().add("ln_1")),
                name -> name);
        assertIn(
                assertThrows(ModelFileException.class, () -> logits(foreign)).getMessage(),
                "adapter_config.json: ",
                "no module of the model matches the target modules ln_1; it has down_proj");
    }

    @Test
    void normsThatAFileDoesNotNameAreThoseOfPeft() throws IOException {
        Path unnamed = changed("ln_tuning", config -> config.putNull("target_modules"), name -> name);
        assertArrayEquals(logits(TestData.resource("adapter-variants/ln_tuning")), logits(unnamed));
    }

    @Test
    void aNewAdapterIsWrittenAsPeftWritesIt() throws IOException {
        try (CausalLM base = llama();
                PeftAdapter adapter =
                        AdapterKinds.create(base, VeraSettings.builder().rank(4).build(), InitSources.seed(1))) {
            AdapterFiles.save(adapter, base, folder, "llama", JsonNodeFactory.instance.objectNode(), into -> {});
        }
        JsonNode config = TestData.json(folder.resolve("adapter_config.json"));
        JsonNode peft = TestData.json(TestData.resource("adapter-variants/vera/adapter_config.json"));
        peft.fieldNames()
                .forEachRemaining(
                        key -> assertTrue(config.has(key) || key.equals("peft_version"), key + " is missing"));
        config.fieldNames().forEachRemaining(key -> assertTrue(peft.has(key), key + " is unknown to PEFT"));
    }
}
