package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A sum and its norm as one operation on the CPU, against libtorch's operations: values and gradients. */
class NormedSumTest {
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

    /** x + silu(norm(x)) or x + silu(branch), and the same once more around the norm of that sum. */
    private static float[][] run(boolean fused, boolean streamTrained, long... shape) {
        int width = (int) shape[shape.length - 1];
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor leaf = normal(1, shape).set_requires_grad(true);
            Tensor x = streamTrained ? leaf.mul(new Scalar(1.5)) : normal(2, shape);
            RmsNorm first = new RmsNorm(normal(3, width), EPSILON, false);
            RmsNorm second = new RmsNorm(normal(4, width), EPSILON, false);
            FusedKernels.Bypass around = fused && streamTrained ? new FusedKernels.Bypass() : null;
            Tensor start = !streamTrained
                    ? leaf
                    : around == null
                            ? plainNorm(x, first.weight())
                            : first.forward(x, around).tensor();
            Tensor branch = torch.silu(start);
            Tensor result;
            if (fused) {
                assertTrue(FusedKernels.serveSum(x, branch, around, second.weight()));
                FusedKernels.NormedSum sum = second.forward(x, branch, around);
                result = sum.add(torch.silu(sum.normed().tensor()));
            } else {
                Tensor sum = x.add(branch);
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

    /** Where x has a gradient of its own and no way around the branch, the sum must be recorded by libtorch. */
    @Test
    void doesNotServeWhereAGradientWouldBeLost() {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor x = normal(1, 1, 3, 16).set_requires_grad(true);
            Tensor branch = normal(2, 1, 3, 16);
            Tensor weight = normal(3, 16);
            assertFalse(FusedKernels.serveSum(x, branch, null, weight));
            assertTrue(FusedKernels.serveSum(x, branch, new FusedKernels.Bypass(), weight));
            assertFalse(FusedKernels.serveSum(x.detach(), branch, null, weight.set_requires_grad(true)));
            try (NoGradGuard off = new NoGradGuard()) {
                assertTrue(FusedKernels.serveSum(x, branch, null, weight.detach()));
            }
        }
    }
}
