package dev.finetune4j.lora.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Adapter folders as people have them: settings of other versions, values of odd types, names of a plain state_dict. The
 * numbers are those of PEFT; where it does not find renamed tensors, those of the same adapter under its own names.
 */
class AdapterFileVariantsTest {
    private static final ObjectNode NOTHING = JsonNodeFactory.instance.objectNode();
    private static final String ADAPTER = "reference/adapters/lora_qv_alpha8";

    @TempDir
    Path folder;

    private static JsonNode file() {
        return TestData.json(TestData.resource("variants/adapters.json"));
    }

    static Stream<String> cases() {
        return StreamSupport.stream(file().path("cases").spliterator(), false)
                .map(variant -> variant.path("name").asText());
    }

    private static JsonNode variant(String name) {
        return StreamSupport.stream(file().path("cases").spliterator(), false)
                .filter(variant -> variant.path("name").asText().equals(name))
                .findFirst()
                .orElseThrow();
    }

    /** Writes an adapter's folder with what the variant changes. */
    private void write(String adapter, JsonNode config, JsonNode without, JsonNode change) throws IOException {
        Path source = TestData.resource(adapter);
        ObjectNode changed =
                TestData.json(source.resolve("adapter_config.json")).deepCopy();
        config.properties().forEach(entry -> changed.set(entry.getKey(), entry.getValue()));
        without.forEach(key -> changed.remove(key.asText()));
        Files.writeString(folder.resolve("adapter_config.json"), changed.toString());
        try (SafetensorsFile weights = SafetensorsFile.open(source.resolve("adapter_model.safetensors"));
                TensorScope scope = new TensorScope()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            weights.names().forEach(name -> tensors.put(rename(name, change), weights.read(name)));
            change.path("copy").properties().forEach(entry -> {
                Tensor from = weights.read(entry.getValue().get(0).asText());
                tensors.put(
                        rename(entry.getKey(), change),
                        from.mul(new Scalar(entry.getValue().get(1).asDouble())));
            });
            SafetensorsWriter.write(folder.resolve("adapter_model.safetensors"), tensors);
        }
    }

    private static String rename(String name, JsonNode change) {
        String changed = name;
        for (JsonNode pair : change.path("replace")) {
            changed = changed.replace(pair.get(0).asText(), pair.get(1).asText());
        }
        return change.path("front").asText("") + changed;
    }

    private static float[] logits(CausalLM model, int[] ids) {
        long[] row = Arrays.stream(ids).asLongStream().toArray();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(model.tokens(row, 1, row.length)))));
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void hasTheNumbersOfPeftAlsoWhenSavedAndLoadedAgain(String name) throws IOException {
        JsonNode variant = variant(name);
        write(
                variant.path("adapter").asText(),
                variant.path("config"),
                variant.path("without"),
                variant.path("tensors"));
        int[] ids = TestData.ints(file().path("ids"));
        Path saved = folder.resolve("saved");
        try (CausalLM base = base(variant.path("base").asText())) {
            try (PeftAdapter adapter = AdapterFiles.load(folder, base)) {
                compare(name, variant, logits(adapter.attachTo(base), ids), ids.length);
                AdapterFiles.save(adapter, base, saved, "base", JsonNodeFactory.instance.objectNode(), into -> {});
            }
            try (PeftAdapter again = AdapterFiles.load(saved, base)) {
                compare(name + ", saved", variant, logits(again.attachTo(base), ids), ids.length);
            }
        }
    }

    private static CausalLM base(String path) {
        return Fixtures.model(TestData.resource(path), LinearFactory.dense());
    }

    private static void compare(String name, JsonNode variant, float[] logits, int tokens) {
        int lastRow = logits.length - logits.length / tokens;
        for (int i = 0; i < variant.path("last").size(); i++) {
            assertEquals(variant.path("last").get(i).asDouble(), logits[lastRow + i], 2e-4, name);
        }
        double sum = 0;
        for (float logit : logits) {
            sum += logit;
        }
        assertEquals(variant.path("sum").asDouble(), sum, 2e-2, name);
    }

    private String refusal(String basePath) {
        try (CausalLM base = base(basePath)) {
            return assertThrows(ModelFileException.class, () -> AdapterFiles.load(folder, base))
                    .getMessage();
        }
    }

    private static long lines(String message) {
        return message.lines().filter(line -> line.startsWith("  - ")).count();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "task_type | \"SEQ_2_SEQ_LM\" | \"task_type\" is SEQ_2_SEQ_LM",
                "task_type | \"NONSENSE\" | \"task_type\" is NONSENSE",
                "init_lora_weights | \"corda\" | convert it to an ordinary adapter",
                "init_lora_weights | \"pissa_niter_4\" | convert it to an ordinary adapter",
                "kasa_config | {} | \"kasa_config\" is {}, which PEFT gives a meaning",
                "alora_invocation_tokens | [17,42] | \"alora_invocation_tokens\" is [17,42], which PEFT gives a meaning",
                "layer_replication | [[0,1],[0,2]] | \"layer_replication\" is",
                "target_parameters | [\"x\"] | no parameter of the model matches the target parameter x",
                "layers_to_transform | [0] | tensor",
                "r | \"4\" | \"r\" must be a whole number",
                "lora_alpha | \"16\" | \"lora_alpha\" must be a number",
            })
    void whatCannotBeComputedHasOneKindOfLine(String key, String value, String part) throws IOException {
        write(ADAPTER, NOTHING.deepCopy().set(key, new ObjectMapper().readTree(value)), NOTHING, NOTHING);
        String message = refusal("reference/models/llama");
        assertTrue(message.contains(part), message);
        // Those two are found by the model, not in the file.
        if (!Set.of("layers_to_transform", "target_parameters").contains(key)) {
            assertEquals(1, lines(message), message);
        }
    }

    @Test
    void aSwitchOfANewerVersionIsRefused() throws IOException {
        ObjectNode config = NOTHING.deepCopy().put("use_something", true).put("peft_version", "0.22.1");
        write(ADAPTER, config, NOTHING, NOTHING);
        String message = refusal("reference/models/llama");
        assertTrue(message.contains("may be a setting of PEFT 0.22.1"), message);
        assertEquals(1, lines(message), message);
    }

    @Test
    void namesThatBeginInAnotherWayAreOneLine() throws IOException {
        write(
                ADAPTER,
                NOTHING,
                NOTHING,
                replacing("base_model.model.model.", "base_model.model.model.language_model."));
        String message = refusal("reference/models/llama");
        assertEquals(1, lines(message), message);
        assertTrue(message.contains("tensor names begin with \"base_model.model.model.language_model.\""), message);
    }

    @Test
    void twoAdaptersInOneFileAreNamed() throws IOException {
        ObjectNode change = replacing("lora_A.weight", "lora_A.one.weight");
        change.withArray("replace").addArray().add("lora_B.weight").add("lora_B.two.weight");
        write(ADAPTER, NOTHING, NOTHING, change);
        String message = refusal("reference/models/llama");
        assertTrue(message.contains("holds several adapters (one, two)"), message);
    }

    @Test
    void tiedTablesThatDifferAreRefused() throws IOException {
        ObjectNode config = NOTHING.deepCopy().put("ensure_weight_tying", true);
        ObjectNode change = NOTHING.deepCopy();
        change.putObject("copy")
                .putArray("base_model.model.model.embed_tokens.weight")
                .add("base_model.model.lm_head.weight")
                .add(0.5);
        write("adapter-variants/save_tied_head", config, NOTHING, change);
        String message = refusal("bases/llama_tied_bias");
        assertTrue(message.contains("differ, but by \"ensure_weight_tying\" they are one weight"), message);
    }

    @Test
    void tiedFactorsAreRefusedInOneLine() throws IOException {
        ObjectNode config = NOTHING.deepCopy().put("ensure_weight_tying", true);
        config.putArray("target_modules").add("q_proj").add("embed_tokens");
        config.putNull("modules_to_save");
        write("adapter-variants/save_tied_head", config, NOTHING, NOTHING);
        String message = refusal("bases/llama_tied_bias");
        assertEquals(1, lines(message), message);
        assertTrue(message.contains("so PEFT ties their factors"), message);
    }

    private static ObjectNode replacing(String from, String to) {
        ObjectNode change = NOTHING.deepCopy();
        change.putArray("replace").addArray().add(from).add(to);
        return change;
    }
}
