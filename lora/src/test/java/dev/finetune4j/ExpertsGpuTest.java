package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.RandomWeights;
import dev.finetune4j.testsupport.TestGpu;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Experts whose weights lie in a stack against the same ones one by one, on a GPU. */
class ExpertsGpuTest {
    @TempDir
    private Path folder;

    /** Hidden states and a gradient. */
    private float[][] pass(RandomWeights.Family family, LinearFactory factory) {
        Placement placement = new Placement(TestGpu.device(), Precision.BF16);
        try (CausalLM model = RandomWeights.model(folder.resolve("model"), family, factory, placement);
                TensorScope scope = TensorScope.forStep()) {
            Tensor trained = Objects.requireNonNull(model.parameters().get("model.embed_tokens.weight"));
            trained.set_requires_grad(true);
            long[] ids = new SplittableRandom(3).longs(64, 0, 300).toArray();
            Tensor hidden = model.hidden(ModelInput.padded(model.tokens(ids, 2, 32)));
            hidden.square().mean().backward();
            return new float[][] {Tensors.toFloats(hidden), Tensors.toFloats(trained.grad())};
        }
    }

    @ParameterizedTest
    @CsvSource({"QWEN3_MOE, true", "QWEN3_MOE, false", "QWEN2_MOE, true"})
    void togetherComputeWhatTheyComputeOneByOne(RandomWeights.Family family, boolean fourBit) {
        Needs.gpu();
        LinearFactory factory = fourBit ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        float[][] together = pass(family, factory);
        // Another factory makes each weight apart.
        float[][] oneByOne = pass(family, (spec, weights, placement) -> factory.create(spec, weights, placement));
        assertTrue(
                distance(oneByOne[0], together[0]) < 0.03,
                () -> "values differ by " + distance(oneByOne[0], together[0]));
        assertTrue(
                distance(oneByOne[1], together[1]) < 0.06,
                () -> "gradients differ by " + distance(oneByOne[1], together[1]));
    }

    /** What of experts is adapted. */
    private enum Adapted {
        STACKS,
        SINGLE,
        /** One of the two linears of an expert that share an input. */
        GATES,
        /** Another part of the input is dropped for each linear. */
        DROPPING;

        LoraSettings settings() {
            LoraSettings.Builder settings = LoraSettings.builder().rank(6).alpha(12);
            return switch (this) {
                case STACKS ->
                    settings.targetParameters("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
                            .build();
                case SINGLE ->
                    settings.targetModules("gate_proj", "up_proj", "down_proj").build();
                case GATES -> settings.targetModules("gate_proj", "down_proj").build();
                case DROPPING ->
                    settings.targetModules("gate_proj", "up_proj", "down_proj")
                            .dropout(0.1)
                            .build();
            };
        }
    }

    /** Hidden states and the gradients of all factors. */
    private Map<String, float[]> trainingPass(
            RandomWeights.Family family, LinearFactory factory, LoraSettings settings) {
        Placement placement = new Placement(TestGpu.device(), Precision.BF16);
        try (CausalLM base = RandomWeights.model(folder.resolve("model"), family, factory, placement);
                PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1));
                TensorScope scope = TensorScope.forStep()) {
            DecoderCases.train(adapter);
            adapter.parameters().values().forEach(factor -> factor.set_requires_grad(true));
            CausalLM model = adapter.attachTo(base);
            long[] ids = new SplittableRandom(3).longs(64, 0, 300).toArray();
            Map<String, float[]> results = new LinkedHashMap<>();
            try (Dropout.Pass pass = Dropout.of(new Dropout.Draw(7, 3))) {
                Tensor hidden = model.hidden(ModelInput.padded(model.tokens(ids, 2, 32)));
                hidden.square().mean().backward();
                results.put("hidden", Tensors.toFloats(hidden));
            }
            adapter.parameters().forEach((name, factor) -> {
                if (factor.grad().defined()) {
                    results.put(name, Tensors.toFloats(factor.grad()));
                }
            });
            return results;
        }
    }

    @ParameterizedTest
    @CsvSource({
        "QWEN3_MOE, true, STACKS",
        "QWEN3_MOE, true, SINGLE",
        "QWEN3_MOE, false, SINGLE",
        "QWEN2_MOE, true, GATES",
        "QWEN2_MOE, false, SINGLE",
        "QWEN3_MOE, true, DROPPING"
    })
    void adaptersTrainTogetherAsOneByOne(RandomWeights.Family family, boolean fourBit, Adapted adapted) {
        Needs.gpu();
        LinearFactory factory = fourBit ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        Map<String, float[]> together = trainingPass(family, factory, adapted.settings());
        Map<String, float[]> oneByOne = trainingPass(
                family, (spec, weights, placement) -> factory.create(spec, weights, placement), adapted.settings());
        double hidden = distance(
                Objects.requireNonNull(oneByOne.get("hidden")), Objects.requireNonNull(together.get("hidden")));
        assertTrue(hidden < 0.03, () -> "values differ by " + hidden);
        double gradients = distance(joined(oneByOne, together), joined(together, together));
        assertTrue(gradients < 0.06, () -> "gradients differ by " + gradients);
    }

    /** The gradients behind one another; zeros for an expert that no token has chosen. */
    private static float[] joined(Map<String, float[]> results, Map<String, float[]> shapes) {
        int size = shapes.values().stream().mapToInt(numbers -> numbers.length).sum();
        float[] joined = new float[size];
        int from = 0;
        for (String name : new TreeSet<>(shapes.keySet())) {
            float[] numbers = results.get(name);
            int count = Objects.requireNonNull(shapes.get(name)).length;
            if (numbers != null && !name.equals("hidden")) {
                System.arraycopy(numbers, 0, joined, from, count);
            }
            from += count;
        }
        return joined;
    }

    /** Root of the mean square of the difference, as a share of that of the values. */
    private static double distance(float[] expected, float[] found) {
        double difference = 0;
        double size = 0;
        for (int i = 0; i < expected.length; i++) {
            difference += Math.pow(expected[i] - found[i], 2);
            size += Math.pow(expected[i], 2);
        }
        return Math.sqrt(difference / size);
    }
}
