package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Slices have the values and gradients of all tokens at once, whether or not the input needs a gradient. */
class TokenSlicesTest {
    private static final int WIDTH = 4;
    private static final int ROWS = 3;
    /** Two slices and a part of one. */
    private static final int TOKENS = 2 * TokenSlices.TOKENS / ROWS + 77;

    private static Tensor normal(int seed, long... shape) {
        return Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(seed), 1, shape);
    }

    /** How a function of x is applied. */
    private interface Form {
        Tensor apply(Tensor x, UnaryOperator<Tensor> function);
    }

    /** Values, the gradient of the weight, and that of x where it needs one. */
    private static List<float[]> run(boolean trained, Form form) {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor weight = normal(1, WIDTH, WIDTH).set_requires_grad(true);
            Tensor leaf = normal(2, ROWS, TOKENS, WIDTH).set_requires_grad(trained);
            Tensor y = form.apply(leaf, x -> torch.silu(torch.matmul(x, weight)));
            float[] values = Tensors.toFloats(y.detach());
            y.mul(normal(3, ROWS, TOKENS, WIDTH)).sum().backward();
            List<float[]> all = new ArrayList<>(List.of(values, Tensors.toFloats(weight.grad())));
            if (trained) {
                all.add(Tensors.toFloats(leaf.grad()));
            }
            return all;
        }
    }

    @ParameterizedTest
    @CsvSource({"true", "false"})
    void haveTheValuesAndGradientsOfAllTokensAtOnce(boolean trained) {
        List<float[]> expected = run(trained, (x, function) -> function.apply(x));
        List<float[]> recomputed = run(trained, (x, function) -> TokenSlices.recomputed(x, function, function));
        List<float[]> gradientsOnly = run(trained, TokenSlices::forGradient);
        for (int i = 0; i < expected.size(); i++) {
            assertArrayEquals(expected.get(i), recomputed.get(i), 2e-3f, "result " + i);
            if (i > 0) {
                assertArrayEquals(recomputed.get(i), gradientsOnly.get(i), "result " + i);
            }
        }
    }

    @Test
    void withoutGradientsNothingIsRecorded() {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor x = normal(2, ROWS, TOKENS, WIDTH);
            assertTrue(TokenSlices.areSeveral(x));
            assertFalse(TokenSlices.areSeveral(x.narrow(1, 0, TokenSlices.TOKENS / ROWS)));
            assertArrayEquals(Tensors.toFloats(torch.silu(x)), Tensors.toFloats(TokenSlices.forward(x, torch::silu)));
        }
    }

    /** Each slice drops elements of its own, and the same ones when it is recomputed. */
    @Test
    void slicesDropElementsOfTheirOwn() {
        try (TensorScope scope = TensorScope.forStep();
                Dropout.Pass training = Dropout.of(new Dropout.Draw(5, 7));
                Dropout.Pass pass = Dropout.decoder(true)) {
            Tensor x = Tensors.ones(ComputeDevice.cpu(), torch.ScalarType.Float, ROWS, TOKENS, WIDTH)
                    .set_requires_grad(true);
            UnaryOperator<Tensor> drop = slice -> Dropout.apply(slice, 0.5, 1);
            Tensor y = TokenSlices.recomputed(x, drop, drop);
            float[] values = Tensors.toFloats(y.detach());
            y.sum().backward();
            assertArrayEquals(values, Tensors.toFloats(x.grad()));
            int slice = TokenSlices.TOKENS * WIDTH;
            float[] first = Arrays.copyOf(values, slice);
            float[] second = Arrays.copyOfRange(values, slice, 2 * slice);
            int same = 0;
            for (int i = 0; i < slice; i++) {
                same += first[i] == second[i] ? 1 : 0;
            }
            assertTrue(same > 0.45 * slice && same < 0.55 * slice, same + " of " + slice);
        }
    }
}
