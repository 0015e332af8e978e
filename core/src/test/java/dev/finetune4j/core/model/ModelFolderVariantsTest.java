package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Checkpoints as people have them: keys that change nothing, settings of rotary scaling in all places, names with another
 * beginning, one table of token vectors or two. The numbers are those of transformers; where it makes up a missing head at
 * random, those of the head that shares the embedding's weight.
 */
class ModelFolderVariantsTest {
    @TempDir
    Path folder;

    private static JsonNode file() {
        return TestData.json(TestData.resource("variants/checkpoints.json"));
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

    /** Writes the base's folder with what the variant changes. */
    private void write(String base, JsonNode config, JsonNode without, JsonNode change) throws IOException {
        Path source = TestData.resource("model/" + base);
        ObjectNode changed = TestData.json(source.resolve("config.json")).deepCopy();
        config.properties().forEach(entry -> changed.set(entry.getKey(), entry.getValue()));
        without.forEach(key -> changed.remove(key.asText()));
        Files.writeString(folder.resolve("config.json"), changed.toString());
        try (SafetensorsFile weights = SafetensorsFile.open(source.resolve("model.safetensors"));
                TensorScope scope = new TensorScope()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            weights.names().forEach(name -> tensors.put(name, weights.read(name)));
            change.path("drop").forEach(name -> tensors.remove(name.asText()));
            change.path("copy").properties().forEach(entry -> {
                Tensor from = weights.read(entry.getValue().get(0).asText());
                tensors.put(
                        entry.getKey(),
                        from.mul(new Scalar(entry.getValue().get(1).asDouble())));
            });
            change.path("zeros")
                    .properties()
                    .forEach(entry -> tensors.put(
                            entry.getKey(),
                            Tensors.zeros(
                                    ComputeDevice.cpu(),
                                    ScalarType.Float,
                                    entry.getValue().asLong())));
            Map<String, Tensor> named = new LinkedHashMap<>();
            tensors.forEach((name, tensor) -> named.put(rename(name, change), tensor));
            SafetensorsWriter.write(folder.resolve("model.safetensors"), named);
        }
    }

    private static String rename(String name, JsonNode change) {
        String changed = name;
        for (JsonNode pair : change.path("replace")) {
            changed = changed.replace(pair.get(0).asText(), pair.get(1).asText());
        }
        return change.path("front").asText("") + changed;
    }

    private CausalLM load() {
        return ModelLoader.load(PretrainedFolder.open(folder), LinearFactory.dense(), Placement.cpuFp32());
    }

    private String refusal() {
        return assertThrows(ModelFileException.class, this::load).getMessage();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void hasTheNumbersOfTransformers(String name) throws IOException {
        JsonNode variant = variant(name);
        write(variant.path("base").asText(), variant.path("config"), variant.path("without"), variant.path("tensors"));
        long[] ids = StreamSupport.stream(file().path("ids").spliterator(), false)
                .mapToLong(JsonNode::asLong)
                .toArray();
        try (CausalLM model = load();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor logits = model.logits(model.hidden(ModelInput.padded(model.tokens(ids, 1, ids.length))));
            float[] numbers = Tensors.toFloats(logits);
            int vocabulary = numbers.length / ids.length;
            double sum = 0;
            for (float number : numbers) {
                sum += number;
            }
            for (int i = 0; i < variant.path("last").size(); i++) {
                assertEquals(
                        variant.path("last").get(i).asDouble(), numbers[(ids.length - 1) * vocabulary + i], 1e-4, name);
            }
            assertEquals(variant.path("sum").asDouble(), sum, 5e-3, name);
            assertEquals(
                    model.config().projections().tiedHead(),
                    PretrainedFolder.open(folder).config().projections().tiedHead());
        }
    }

    private static final String NOTHING = "{}";

    @ParameterizedTest
    @ValueSource(strings = {"llm.", "_orig_mod.", "module.", "base_model.model."})
    void aPrefixThatTransformersDoesNotTakeOffIsOneLine(String prefix) throws IOException {
        write(
                "llama_v4_plain",
                TestData.parse(NOTHING),
                TestData.parse("[]"),
                TestData.parse("{\"front\":\"" + prefix + "\"}"));
        String message = refusal();
        assertEquals(1, message.lines().filter(line -> line.startsWith("  - ")).count(), message);
        assertTrue(
                message.contains("begin with \"" + prefix + "\", such as " + prefix
                        + "model.embed_tokens.weight in the place of model.embed_tokens.weight"),
                message);
    }

    @Test
    void manyDifferencesOfOneKindAreOneLine() throws IOException {
        write(
                "llama_v4_plain",
                TestData.parse("{\"num_hidden_layers\":9}"),
                TestData.parse("[]"),
                TestData.parse(NOTHING));
        String message = refusal();
        List<String> lines =
                message.lines().filter(line -> line.startsWith("  - ")).toList();
        assertEquals(1, lines.size(), message);
        assertTrue(
                lines.get(0)
                        .startsWith(
                                "  - 54 tensors are missing, the first of them: tensor model.layers.3.input_layernorm.weight"),
                message);
    }

    @Test
    void aBiasThatIsNotZeroIsNotDropped() throws IOException {
        write(
                "llama_v4_plain",
                TestData.parse(NOTHING),
                TestData.parse("[]"),
                TestData.parse("{\"copy\":{\"model.layers.0.self_attn.o_proj.bias\":[\"model.norm.weight\",1]}}"));
        String message = refusal();
        assertTrue(message.contains("model.layers.0.self_attn.o_proj.bias is a bias that is not zero"), message);
        assertTrue(message.contains("\"attention_bias\""), message);
    }

    @Test
    void aTensorOfAnotherModelIsNotDropped() throws IOException {
        write(
                "llama_v4_plain",
                TestData.parse(NOTHING),
                TestData.parse("[]"),
                TestData.parse("{\"copy\":{\"model.layers.0.self_attn.q_norm.weight\":[\"model.norm.weight\",1]}}"));
        assertTrue(refusal().contains("q_norm.weight [16] is not part of the model"), refusal());
    }

    @Test
    void theTextPartOfALargerModelIsNamed() throws IOException {
        write(
                "llama_v4_plain",
                TestData.parse("{\"model_type\":\"gemma3\",\"text_config\":{\"model_type\":\"gemma3_text\"}}"),
                TestData.parse("[]"),
                TestData.parse(NOTHING));
        assertTrue(refusal().contains("\"text_config\" is of the supported type \"gemma3_text\""), refusal());
    }
}
