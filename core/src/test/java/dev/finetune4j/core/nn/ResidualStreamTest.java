package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The residual stream, whose sums, norms and skip gradients are fused on the CPU, against libtorch's operations: values and gradients. */
class ResidualStreamTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();
    private static final double EPSILON = 1e-6;

    @BeforeEach
    void needKernels() {
        Needs.cpuKernels();
    }

    private static Tensor normal(int seed, long... shape) {
        return Tensors.normal(CPU, new SplittableRandom(seed), 1, shape);
    }

    private static Tensor plainNorm(Tensor x, Tensor weight) {
        Tensor meanSquare = x.mul(x).mean(new long[] {-1}, true, new ScalarTypeOptional());
        return x.mul(meanSquare.add(new Scalar(EPSILON)).rsqrt()).mul(weight);
    }

    private static RmsNorm norm(int seed, int width) {
        return new RmsNorm(normal(seed, width), EPSILON, false);
    }

    /** x + silu(norm(x)) or x + silu(branch), and the same once more around the norm of that sum. */
    private static float[][] run(boolean fused, boolean streamTrained, long... shape) {
        int width = (int) shape[shape.length - 1];
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor leaf = normal(1, shape).set_requires_grad(true);
            Tensor x = streamTrained ? leaf.mul(new Scalar(1.5)) : normal(2, shape);
            RmsNorm first = norm(3, width);
            RmsNorm second = norm(4, width);
            Tensor result;
            if (fused) {
                ResidualStream stream = new ResidualStream(x);
                stream.add(torch.silu(streamTrained ? stream.normed(first).tensor() : leaf));
                HiddenStates normed = stream.normed(second);
                assertNotNull(normed.recomputation(), "fused");
                stream.add(torch.silu(normed.tensor()));
                result = stream.value();
            } else {
                Tensor sum = x.add(torch.silu(streamTrained ? plainNorm(x, first.weight()) : leaf));
                result = sum.add(torch.silu(plainNorm(sum, second.weight())));
            }
            float[] values = Tensors.toFloats(result.detach());
            result.mul(normal(5, shape)).sum().backward();
            return new float[][] {values, Tensors.toFloats(leaf.grad())};
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 7, 64, true", "2, 3, 896, true", "1, 1, 8, true", "2, 5, 64, false"})
    void isTheSumAndItsNorm(long batch, long tokens, long width, boolean streamTrained) {
        float[][] expected = run(false, streamTrained, batch, tokens, width);
        float[][] actual = run(true, streamTrained, batch, tokens, width);
        for (int i = 0; i < expected.length; i++) {
            assertArrayEquals(expected[i], actual[i], 2e-5f, i == 0 ? "values" : "gradients");
        }
    }

    /** A sum of which only the gradients matter has those of the sum. */
    @Test
    void theGradientPathHasTheGradientsOfTheValue() {
        float[][] gradients = new float[2][];
        for (int i = 0; i < 2; i++) {
            try (TensorScope scope = TensorScope.forStep()) {
                Tensor leaf = normal(1, 2, 3, 64).set_requires_grad(true);
                ResidualStream stream = new ResidualStream(leaf.mul(new Scalar(1.5)));
                stream.add(torch.silu(stream.normed(norm(3, 64)).tensor()));
                stream.add(torch.silu(stream.normed(norm(4, 64)).tensor()));
                Tensor end = i == 0 ? stream.value() : stream.gradientPath();
                end.backward(normal(5, 2, 3, 64), new BoolOptional(), false, new TensorArrayRefOptional());
                gradients[i] = Tensors.toFloats(leaf.grad());
            }
        }
        assertArrayEquals(gradients[0], gradients[1]);
    }

    /** Where x has a gradient of its own and the branch does not begin with its norm, libtorch must record the sum. */
    @Test
    void noGradientIsLostWhereTheBranchBeginsElsewhere() {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor x = normal(1, 1, 3, 16).set_requires_grad(true);
            ResidualStream stream = new ResidualStream(x);
            stream.add(normal(2, 1, 3, 16));
            stream.add(torch.silu(stream.normed(norm(3, 16)).tensor()));
            stream.value().sum().backward();
            Tensor plain = normal(1, 1, 3, 16).set_requires_grad(true);
            Tensor sum = plain.add(normal(2, 1, 3, 16));
            sum.add(torch.silu(plainNorm(sum, normal(3, 16)))).sum().backward();
            assertArrayEquals(Tensors.toFloats(plain.grad()), Tensors.toFloats(x.grad()), 2e-5f);
        }
    }

    /** Who reads the stream without a branch gets what flowed in. */
    @Test
    void isWhatFlowedInWithoutABranch() {
        Tensor x = normal(1, 1, 3, 16);
        ResidualStream stream = new ResidualStream(x);
        assertSame(x, stream.value());
        assertSame(x, stream.gradientPath());
    }
}
