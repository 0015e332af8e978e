package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.RandomWeights;
import dev.finetune4j.testsupport.TestGpu;
import java.nio.file.Path;
import java.util.Objects;
import java.util.SplittableRandom;
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
