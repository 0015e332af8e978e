package dev.finetune4j.lora;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.TextGenerator;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.AdapterFiles;
import dev.finetune4j.lora.adapter.PeftAdapter;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantizedLinearFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Numbers of transformers, peft and bitsandbytes against ours. */
class ReferenceParityTest {
    private static final double LOGITS = 1e-4;
    private static final double GRADIENTS = 1e-3;

    static List<String> models() {
        return Fixtures.kinds("models");
    }

    @ParameterizedTest
    @MethodSource("models")
    void modelHasTheLogitsLossAndAllGradientsOfTransformers(String kind) {
        Path folder = Fixtures.wide("models/" + kind);
        try (CausalLM model = Fixtures.model(folder, LinearFactory.dense());
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                SafetensorsFile gradients = SafetensorsFile.open(folder.resolve("golden_grads.safetensors"))) {
            Map<String, Tensor> parameters = model.parameters();
            assertEquals(gradients.tensors().keySet(), parameters.keySet());
            parameters.values().forEach(tensor -> tensor.set_requires_grad(true));
            checkLogitsAndLoss(model, golden, golden);
            parameters.forEach((name, tensor) ->
                    assertClose(name, Fixtures.floats(gradients, name), Tensors.toFloats(tensor.grad()), GRADIENTS));
        }
    }

    @ParameterizedTest
    @MethodSource("models")
    void modelContinuesGreedilyAsTransformers(String kind) {
        Path folder = Fixtures.wide("models/" + kind);
        JsonNode golden = Fixtures.json(folder.resolve("golden.json"));
        int[] expected = ints(golden.path("greedy_continuation"));
        try (CausalLM model = Fixtures.model(folder, LinearFactory.dense());
                KvCache cache = model.newCache()) {
            TextGenerator.Generation generation = new TextGenerator(model, Set.of())
                    .generate(
                            ints(golden.path("greedy_prompt")),
                            cache,
                            GenerationSettings.greedy().withMaxNewTokens(expected.length),
                            id -> {});
            assertArrayEquals(expected, generation.ids());
        }
    }

    @Test
    void packedSequencesHaveTheLogitsOfEachAlone() {
        Path file = Fixtures.wide("packing.safetensors");
        try (CausalLM model = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                SafetensorsFile packing = SafetensorsFile.open(file);
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor hidden = model.hiddenOfPacked(packing.read("input_ids"), Fixtures.longs(packing, "lengths"));
            assertClose("logits", Fixtures.floats(packing, "logits"), Tensors.toFloats(model.logits(hidden)), LOGITS);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "lora",
                "lora_qv_alpha8",
                "rslora",
                "dora",
                "lora_patterns",
                "lora_regex_layers",
                "lora_modules_to_save",
                "ia3"
            })
    void adapterHasTheLogitsLossAndGradientsOfPeft(String kind) {
        Path folder = Fixtures.wide("adapters/" + kind);
        Assumptions.assumeTrue(Files.exists(folder), "the wide reference collection is not beside this checkout");
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter adapter = AdapterFiles.load(folder, base);
                SafetensorsFile inputs = SafetensorsFile.open(Fixtures.reference("models/llama/golden.safetensors"));
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                SafetensorsFile gradients = SafetensorsFile.open(folder.resolve("golden_grads.safetensors"))) {
            Map<String, Tensor> parameters = adapter.parameters();
            assertEquals(gradients.tensors().size(), parameters.size());
            parameters.values().forEach(tensor -> tensor.set_requires_grad(true));
            checkLogitsAndLoss(adapter.attachTo(base), inputs, golden);
            parameters.forEach((name, tensor) -> {
                String inMemory = name.replace("_A.weight", "_A.default.weight")
                        .replace("_B.weight", "_B.default.weight")
                        .replace("lm_head.weight", "lm_head.modules_to_save.default.weight")
                        .replace("ia3_l", "ia3_l.default")
                        .replace("_vector", "_vector.default.weight");
                assertClose(name, Fixtures.floats(gradients, inMemory), Tensors.toFloats(tensor.grad()), GRADIENTS);
            });
        }
    }

    @Test
    void quantizedCheckpointOfBitsandbytesHasItsLogits() {
        Path folder = Fixtures.reference("bnb/llama_nf4_double");
        try (CausalLM model = Fixtures.model(folder, new QuantizedLinearFactory(QuantSettings.nf4()));
                SafetensorsFile inputs = SafetensorsFile.open(Fixtures.reference("models/llama/golden.safetensors"));
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"))) {
            assertClose("logits", unpadded(Fixtures.floats(golden, "logits"), inputs), logits(model, inputs), 1e-3);
        }
    }

    @Test
    void quantizingTheModelOurselvesGivesTheSameLogitsAsTheQuantizedCheckpoint() {
        QuantizedLinearFactory factory = new QuantizedLinearFactory(QuantSettings.nf4());
        try (CausalLM stored = Fixtures.model(Fixtures.reference("bnb/llama_nf4_double"), factory);
                CausalLM made = Fixtures.model(Fixtures.reference("models/llama"), factory);
                SafetensorsFile inputs = SafetensorsFile.open(Fixtures.reference("models/llama/golden.safetensors"))) {
            assertArrayEquals(logits(stored, inputs), logits(made, inputs));
        }
    }

    @Test
    void cachedStepsGiveTheLogitsOfTheWholeSequence() {
        long[] ids = {17, 250, 33, 401, 12, 99, 7, 300, 45, 46};
        try (CausalLM model = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                KvCache cache = model.newCache();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            float[] whole = Tensors.toFloats(model.logits(model.hidden(model.tokens(ids, 1, 10), null)));
            int[] cuts = {0, 4, 5, 9, 10}; // a prefill, one token, several tokens behind a past, one token
            for (int part = 0; part + 1 < cuts.length; part++) {
                long[] piece = java.util.Arrays.copyOfRange(ids, cuts[part], cuts[part + 1]);
                Tensor hidden = model.hidden(model.tokens(piece, 1, piece.length), cache);
                float[] expected = java.util.Arrays.copyOfRange(whole, cuts[part] * 500, cuts[part + 1] * 500);
                assertClose("part " + part, expected, Tensors.toFloats(model.logits(hidden)), 1e-5);
            }
            cache.truncate(3);
            Tensor again = model.hidden(model.tokens(new long[] {ids[3]}, 1, 1), cache);
            float[] expected = java.util.Arrays.copyOfRange(whole, 3 * 500, 4 * 500);
            assertClose("after truncation", expected, Tensors.toFloats(model.logits(again)), 1e-5);
        }
    }

    private static float[] logits(CausalLM model, SafetensorsFile inputs) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return unpadded(Tensors.toFloats(model.logits(model.hidden(inputs.read("input_ids"), null))), inputs);
        }
    }

    /** Logits with those of padding set to zero: what a padded position predicts has no meaning. */
    private static float[] unpadded(float[] logits, SafetensorsFile inputs) {
        long[] mask = Fixtures.longs(inputs, "attention_mask");
        int vocabulary = logits.length / mask.length;
        float[] kept = logits.clone();
        for (int i = 0; i < mask.length; i++) {
            if (mask[i] == 0) {
                java.util.Arrays.fill(kept, i * vocabulary, (i + 1) * vocabulary, 0);
            }
        }
        return kept;
    }

    private static void checkLogitsAndLoss(CausalLM model, SafetensorsFile inputs, SafetensorsFile golden) {
        assertClose("logits", unpadded(Fixtures.floats(golden, "logits"), inputs), logits(model, inputs), LOGITS);
        long[] shifted = Fixtures.shift(Fixtures.longs(inputs, "labels"), 2, 40);
        long targets =
                java.util.Arrays.stream(shifted).filter(label -> label != -100).count();
        try (TensorScope scope = new TensorScope()) {
            Tensor hidden = model.hidden(inputs.read("input_ids"), null);
            double sum = NextTokenLoss.backward(hidden, model::logits, shifted, 1.0 / targets);
            assertEquals(Fixtures.floats(golden, "loss")[0], sum / targets, 1e-4);
        }
    }

    private static void assertClose(String what, float[] expected, float[] actual, double tolerance) {
        double error = Fixtures.relativeError(expected, actual);
        assertTrue(error <= tolerance, what + ": relative error " + error + ", allowed " + tolerance);
    }

    private static int[] ints(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false)
                .mapToInt(JsonNode::intValue)
                .toArray();
    }
}
