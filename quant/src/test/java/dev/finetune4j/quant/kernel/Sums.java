package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Compares results of products: the numbers that are added are the same, the order of additions is not. */
final class Sums {
    private static final float FLOAT_ROUNDINGS = 4e-6f;
    private static final float HALF_ROUNDING = 1 / 128f;

    private Sums() {}

    static void assertSame(Tensor expected, Tensor actual) {
        assertEquals(Tensors.typeOf(expected), Tensors.typeOf(actual));
        assertArrayEquals(expected.shape(), actual.shape());
        float[] wanted = Tensors.toFloats(expected);
        float largest = 0;
        for (float value : wanted) {
            largest = Math.max(largest, Math.abs(value));
        }
        float share = Tensors.typeOf(expected) == ScalarType.Float ? FLOAT_ROUNDINGS : HALF_ROUNDING;
        assertArrayEquals(wanted, Tensors.toFloats(actual), Math.max(share * largest, Float.MIN_NORMAL));
    }
}
