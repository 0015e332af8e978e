package dev.finetune4j.core.autograd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiFunction;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

/** Values and gradients are those of the function itself; nothing but the input is kept. */
class RecomputeTest {
    private static Tensor normal(int seed, long... shape) {
        return Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(seed), 1, shape);
    }

    /** Value, gradient of the input, gradient of the weight. */
    private static float[][] run(BiFunction<Tensor, UnaryOperator<Tensor>, Tensor> apply) {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor x = normal(1, 5, 8).set_requires_grad(true);
            Tensor weight = normal(2, 8, 8).set_requires_grad(true);
            UnaryOperator<Tensor> function = input -> torch.silu(torch.linear(input, weight));
            // Two in a row, so that the order in the backward pass matters.
            Tensor y = apply.apply(apply.apply(x, function), function);
            Tensor after = normal(3, 5, 8);
            y.mul(after).sum().backward();
            return new float[][] {Tensors.toFloats(y), Tensors.toFloats(x.grad()), Tensors.toFloats(weight.grad())};
        }
    }

    @Test
    void gradientsAreThoseOfTheFunction() {
        float[][] expected = run((x, function) -> function.apply(x));
        float[][] actual = run((x, function) -> Recompute.apply(x, function));
        for (int i = 0; i < expected.length; i++) {
            assertArrayEquals(expected[i], actual[i], 1e-6f, "part " + i);
        }
    }

    @Test
    void aTrainedWeightGetsItsGradientThoughTheInputNeedsNone() {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor x = normal(1, 3, 4);
            Tensor weight = normal(2, 4, 4).set_requires_grad(true);
            AtomicInteger calls = new AtomicInteger();
            Tensor y = Recompute.apply(x, input -> {
                calls.incrementAndGet();
                return torch.linear(input, weight);
            });
            y.sum().backward();
            assertEquals(2, calls.get());
            assertFalse(x.grad().defined());
            float[] sums = Tensors.toFloats(x.sum(0));
            float[] gradient = Tensors.toFloats(weight.grad());
            for (int i = 0; i < gradient.length; i++) {
                assertEquals(sums[i % 4], gradient[i], 1e-5);
            }
        }
    }

    @Test
    void withoutRecordingItIsTheFunction() {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor y = Recompute.apply(normal(1, 2, 2), input -> input.add(input));
            assertFalse(y.requires_grad());
        }
    }
}
