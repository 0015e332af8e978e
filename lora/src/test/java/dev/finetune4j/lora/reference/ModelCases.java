package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.TokenGenerator;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Whole models against transformers: {@code models/*} and {@code packing*.safetensors}. */
final class ModelCases {
    static final double LOGITS = 1e-4;
    static final double GRADIENTS = 1e-3;
    static final double LOSS = 1e-4;
    /** For logits and losses on 4-bit weights, whose reference was computed on another device. */
    static final double FOUR_BIT = 1e-3;

    /**
     * A gradient so far below the model's largest is one whose sum is zero, such as that of the bias of keys that are not rotated, which
     * no softmax sees, or of a router that chooses one expert: its numbers are rounding, in the reference too.
     */
    private static final double CANCELLED = 1e-6;

    /** Metadata of a file that has the gradients of the first rows alone of its larger tensors. */
    private static final String FIRST_ROWS = "rows";

    private ModelCases() {}

    static List<ReferenceCase> of(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path folder : reference.folders("models")) {
            List<Path> files = new ArrayList<>(ReferenceFolder.checkpoint(folder));
            for (String name : List.of("golden.safetensors", "golden_grads.safetensors", "golden.json")) {
                files.add(folder.resolve(name));
            }
            String name = ReferenceFolder.name(folder);
            cases.add(new ReferenceCase("models", name + " logits", files, near -> logits(near, folder)));
            cases.add(new ReferenceCase("models", name + " loss", files, near -> loss(near, folder)));
            cases.add(new ReferenceCase("models", name + " gradients", files, near -> gradients(near, folder)));
            cases.add(new ReferenceCase("models", name + " greedy continuation", files, near -> greedy(folder)));
        }
        return cases;
    }

    static List<ReferenceCase> packed(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path file : ReferenceFolder.files(reference.root(), "packing", ".safetensors")) {
            String name = ReferenceFolder.stem(file);
            cases.add(new ReferenceCase("packing", name, List.of(file), near -> {
                packing(near, file, reference.base("", name.replaceFirst("^packing_?", "")));
            }));
        }
        return cases;
    }

    private static void logits(Closeness near, Path folder) {
        Path file = folder.resolve("golden.safetensors");
        try (CausalLM model = ReferenceFolder.load(folder);
                ReferenceBatch batch = ReferenceBatch.open(file, folder)) {
            batch.compareLogits(near, "logits", file, model, LOGITS);
        }
    }

    private static void loss(Closeness near, Path folder) {
        Path file = folder.resolve("golden.safetensors");
        JsonNode stated = TestData.json(folder.resolve("golden.json"));
        try (CausalLM model = ReferenceFolder.load(folder);
                ReferenceBatch batch = ReferenceBatch.open(file, folder);
                SafetensorsFile golden = SafetensorsFile.open(file)) {
            double loss = batch.loss(model);
            near.absolute("loss", folder.toString(), TensorData.floats(golden, "loss")[0], loss, LOSS);
            near.absolute("loss", folder.toString(), stated.path("loss").asDouble(Double.NaN), loss, LOSS);
            assertEquals(stated.path("target_tokens").asLong(-1), batch.targets(), "target tokens");
        }
    }

    private static void gradients(Closeness near, Path folder) {
        try (CausalLM model = ReferenceFolder.load(folder);
                ReferenceBatch batch = ReferenceBatch.open(folder.resolve("golden.safetensors"), folder);
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden_grads.safetensors"))) {
            Map<String, Tensor> parameters = model.parameters();
            assertEquals(golden.names(), parameters.keySet(), "parameters");
            parameters.values().forEach(tensor -> tensor.set_requires_grad(true));
            batch.backward(model);
            boolean firstRows = golden.metadata().containsKey(FIRST_ROWS);
            double largest = golden.names().stream()
                    .mapToDouble(name -> largest(TensorData.floats(golden, name)))
                    .max()
                    .orElseThrow();
            parameters.forEach((name, tensor) -> {
                float[] expected = TensorData.floats(golden, name);
                float[] actual = ReferenceBatch.gradient(tensor);
                if (largest(expected) < CANCELLED * largest) {
                    double ours = largest(actual);
                    assertTrue(
                            ours < CANCELLED * largest,
                            () -> "the gradient of " + name + " should be zero but for rounding, and is " + ours);
                    return;
                }
                near.relative(
                        "gradients",
                        name,
                        expected,
                        firstRows ? Arrays.copyOf(actual, expected.length) : actual,
                        GRADIENTS);
            });
        }
    }

    private static double largest(float[] values) {
        double most = 0;
        for (float value : values) {
            most = Math.max(most, Math.abs(value));
        }
        return most;
    }

    private static void greedy(Path folder) {
        JsonNode golden = TestData.json(folder.resolve("golden.json"));
        int[] prompt = TestData.ints(golden.path("greedy_prompt"));
        int[] expected = TestData.ints(golden.path("greedy_continuation"));
        assertTrue(prompt.length > 0 && expected.length > 0, "golden.json has no greedy continuation of a prompt");
        try (CausalLM model = ReferenceFolder.load(folder);
                KvCache cache = model.newCache()) {
            GenerationSettings settings =
                    GenerationSettings.builder().maxNewTokens(expected.length).build();
            TokenGenerator generator = new TokenGenerator(model, Set.of());
            assertArrayEquals(
                    expected,
                    generator.generate(prompt, cache, settings, id -> {}).ids());
        }
    }

    private static void packing(Closeness near, Path file, Path base) {
        try (CausalLM model = ReferenceFolder.load(base);
                SafetensorsFile packing = SafetensorsFile.open(file);
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            assertEquals(Set.of("input_ids", "lengths", "logits"), packing.names(), "tensors of " + file);
            Tensor hidden = model.hidden(ModelInput.packed(
                    Tensors.convert(packing.read("input_ids"), model.placement().device(), ScalarType.Long),
                    TensorData.longs(packing, "lengths")));
            float[] expected = TensorData.floats(packing, "logits");
            near.relative("logits", file.toString(), expected, Tensors.toFloats(model.logits(hidden)), LOGITS);
        }
    }
}
