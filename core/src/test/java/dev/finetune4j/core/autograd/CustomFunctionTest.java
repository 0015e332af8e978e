package dev.finetune4j.core.autograd;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class CustomFunctionTest {
    @BeforeAll
    static void start() {
        TorchRuntime.start();
    }

    private static Tensor multiply(Tensor x, Tensor weight) {
        return CustomFunction.apply(x, in -> torch.matmul(in, weight.t()), gradient -> torch.matmul(gradient, weight));
    }

    @Test
    void hasTheGradientOfLibtorchEvenWhenInnerScopesCloseBeforeBackward() {
        try (TensorScope outer = new TensorScope()) {
            Tensor weight = torch.randn(5, 3);
            Tensor transposed = weight.t().contiguous();
            Tensor x = torch.randn(4, 3).set_requires_grad(true);
            Tensor y;
            try (TensorScope inner = new TensorScope()) {
                y = inner.keep(multiply(multiply(x, weight), transposed));
            }
            System.gc();
            y.mul(y).sum().backward();
            Tensor expected = x.detach().clone().set_requires_grad(true);
            Tensor direct = torch.matmul(torch.matmul(expected, weight.t()), weight);
            direct.mul(direct).sum().backward();
            assertTrue(torch.allclose(x.grad(), expected.grad()));
        }
    }

    @Test
    void recordsNothingWhenNoGradientIsWanted() {
        try (TensorScope scope = new TensorScope()) {
            Tensor weight = torch.randn(5, 3);
            assertFalse(multiply(torch.randn(4, 3), weight).requires_grad());
            Tensor x = torch.randn(4, 3).set_requires_grad(true);
            try (NoGradGuard off = new NoGradGuard()) {
                assertFalse(multiply(x, weight).requires_grad());
            }
            assertTrue(multiply(x, weight).requires_grad());
        }
    }

    @Test
    void needsAnOpenScope() {
        Tensor weight = torch.randn(5, 3);
        Tensor x = torch.randn(4, 3).set_requires_grad(true);
        String message = assertThrows(IllegalStateException.class, () -> multiply(x, weight))
                .getMessage();
        assertTrue(message.contains("TensorScope"), message);
        x.close();
        weight.close();
    }

    @Test
    void anExceptionInTheBackwardPassReachesTheCaller() {
        try (TensorScope scope = new TensorScope()) {
            Tensor x = torch.randn(2, 2).set_requires_grad(true);
            Tensor y = CustomFunction.apply(x, in -> in.mul(in), gradient -> {
                throw new IllegalStateException("backward failed");
            });
            RuntimeException thrown =
                    assertThrows(RuntimeException.class, () -> y.sum().backward());
            assertTrue(String.valueOf(thrown.getMessage()).contains("backward failed"), thrown.toString());
        }
    }

    @Test
    void manyCallsWithCollectionsInBetweenLeaveMemoryFlat() {
        Tensor weight = torch.randn(64, 64);
        Tensor x = torch.randn(32, 64).set_requires_grad(true);
        long[] lowest = {Long.MAX_VALUE, Long.MAX_VALUE};
        int calls = 12_000;
        for (int i = 0; i < calls; i++) {
            try (TensorScope scope = new TensorScope()) {
                Tensor y;
                try (TensorScope block = new TensorScope()) {
                    y = block.keep(multiply(x, weight));
                }
                y.sum().backward();
            }
            if (i % 1000 == 999) {
                System.gc();
                int half = i < calls / 2 ? 0 : 1;
                if (i > 2000) {
                    lowest[half] = Math.min(lowest[half], TorchRuntime.residentBytes());
                }
            }
        }
        // Falling is fine: what earlier tests of this process left behind is given back at some time.
        assertTrue(lowest[1] <= lowest[0] * 1.05, "resident bytes " + lowest[0] + " -> " + lowest[1]);
        x.close();
        weight.close();
    }
}
