package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Families whose norms have biases and whose modules have other names, through every way of tuning, saving and merging. */
class BiasedFamiliesTest {
    /** Values of config.json besides the sizes. */
    enum Family {
        STABLELM("\"model_type\": \"stablelm\", \"use_qkv_bias\": true, \"qk_layernorm\": true"),
        STABLELM_PARALLEL(
                "\"model_type\": \"stablelm\", \"use_parallel_residual\": true, \"tie_word_embeddings\": true"),
        STARCODER2("\"model_type\": \"starcoder2\", \"sliding_window\": 9");

        private final String values;

        Family(String values) {
            this.values = values;
        }

        String config() {
            return """
                    {%s, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
                     "num_key_value_heads": 2, "vocab_size": 500, "max_position_embeddings": 256, "partial_rotary_factor": %s}
                    """.formatted(values, this == STARCODER2 ? "1.0" : "0.5");
        }
    }

    @TempDir
    private Path folder;

    private Path model(Family family) throws IOException {
        Path model = Files.createDirectories(folder.resolve("model"));
        Files.writeString(model.resolve("config.json"), family.config());
        SplittableRandom random = new SplittableRandom(7);
        try (CausalLM shapes = ModelLoader.meta(PretrainedFolder.open(model));
                TensorScope scope = new TensorScope()) {
            Map<String, Tensor> weights = new LinkedHashMap<>();
            shapes.parameters().forEach((name, like) -> {
                Tensor values = Tensors.normal(ComputeDevice.cpu(), random, 0.15, like.shape());
                boolean factor = name.contains("norm") && name.endsWith("weight");
                weights.put(name, factor ? values.add(Tensors.scalar(1)) : values);
            });
            SafetensorsWriter.write(model.resolve("model.safetensors"), weights);
        }
        for (String name : new String[] {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
            Files.copy(TestData.resource("text/bytelevel").resolve(name), model.resolve(name));
        }
        return model;
    }

    private FineTuner.Builder tuner(Path model) {
        return tuner(model, 2);
    }

    private FineTuner.Builder tuner(Path model, int rows) {
        return FineTuner.builder()
                .model(model)
                .dataset(Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?"))
                .training(t -> t.maxSteps(3).batchSize(rows).learningRate(1e-2))
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32);
    }

    private static LanguageModel.Loader exact(Path model) {
        return LanguageModel.loader(model).device(ComputeDevice.cpu()).precision(Precision.FP32);
    }

    static Stream<Arguments> methods() {
        return Stream.of(Family.values())
                .flatMap(family -> PlannedTrainings.METHODS.keySet().stream()
                        .filter(method -> !method.equals("full"))
                        .map(method -> Arguments.of(family, method)));
    }

    @ParameterizedTest
    @MethodSource("methods")
    void anAdapterIsTrainedSavedLoadedAndMerged(Family family, String method) throws IOException {
        Path model = model(family);
        Path saved = folder.resolve("saved");
        Path merged = folder.resolve("merged");
        float[] logits;
        try (FineTunedModel tuned =
                PlannedTrainings.METHODS.get(method).apply(tuner(model)).train()) {
            tuned.save(saved);
            logits = logits(tuned.adapter().orElseThrow().view());
        }
        boolean fourBit = method.equals("qlora");
        try (LanguageModel base = (fourBit ? exact(model).quantize(QuantSettings.nf4()) : exact(model)).load();
                Adapter adapter = base.loadAdapter(saved)) {
            assertTrue(TensorData.relativeError(logits(base.model()), logits) > 1e-6, "the adapter does something");
            assertTrue(TensorData.relativeError(logits, logits(adapter.view())) <= 1e-5, "loaded as saved");
            ModelFormat format = ModelFormat.huggingFace(Precision.FP32);
            if (adapter.peft().settings().virtualTokens() > 0) {
                assertThrows(IllegalStateException.class, () -> adapter.export(merged, format));
                return;
            }
            adapter.export(merged, format);
        }
        assertSameNames(model, merged);
        // Merging takes the weights of the checkpoint, not their codes.
        float[] expected;
        try (LanguageModel base = exact(model).load();
                Adapter adapter = base.loadAdapter(saved);
                LanguageModel whole = exact(merged).load()) {
            expected = logits(adapter.view());
            assertTrue(TensorData.relativeError(expected, logits(whole.model())) <= 1e-5, "merged");
        }
    }

    @ParameterizedTest
    @EnumSource(Family.class)
    void allWeightsAreTrainedAndWritten(Family family) throws IOException {
        Path model = model(family);
        Path written = folder.resolve("written");
        float[] logits;
        try (FineTunedModel tuned = tuner(model).full().train()) {
            tuned.export(written, ModelFormat.huggingFace(Precision.FP32));
            logits = logits(tuned.base().model());
        }
        assertSameNames(model, written);
        try (LanguageModel loaded = exact(written).load();
                SafetensorsFile before = SafetensorsFile.open(model.resolve("model.safetensors"));
                SafetensorsFile after = SafetensorsFile.open(written.resolve("model.safetensors"))) {
            assertTrue(TensorData.relativeError(logits, logits(loaded.model())) <= 1e-5);
            for (String name : before.names()) {
                double change =
                        TensorData.relativeError(TensorData.floats(before, name), TensorData.floats(after, name));
                assertTrue(change > 0, name + " was not trained");
            }
        }
    }

    /** Rows with several texts, and blocks that compute again, train to the same adapter as neither does. */
    @ParameterizedTest
    @EnumSource(Family.class)
    void packingAndCheckpointingChangeNothing(Family family) throws IOException {
        Path model = model(family);
        float[] expected = trained(tuner(model));
        float[] again = trained(tuner(model).activationCheckpointing(ActivationCheckpointing.all()));
        assertTrue(TensorData.relativeError(expected, again) <= 1e-4, "computed again");
        float[] packed = trained(tuner(model, 1).packing(200));
        assertTrue(TensorData.relativeError(expected, packed) <= 1e-4, "packed");
    }

    private static float[] trained(FineTuner.Builder tuner) {
        try (FineTunedModel tuned = tuner.lora(l -> l.rank(4)).train()) {
            assertEquals(3, tuned.report().steps().size());
            return logits(tuned.adapter().orElseThrow().view());
        }
    }

    private static void assertSameNames(Path expected, Path actual) {
        try (SafetensorsFile before = SafetensorsFile.open(expected.resolve("model.safetensors"));
                SafetensorsFile after = SafetensorsFile.open(actual.resolve("model.safetensors"))) {
            assertEquals(before.tensors().keySet(), after.tensors().keySet());
            before.names()
                    .forEach(name -> assertArrayEquals(
                            before.info(name).shape(), after.info(name).shape(), name));
        }
    }

    private static float[] logits(CausalLM model) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(
                    model.hidden(ModelInput.padded(model.tokens(new long[] {1, 2, 17, 80, 5, 410}, 1, 6)))));
        }
    }
}
