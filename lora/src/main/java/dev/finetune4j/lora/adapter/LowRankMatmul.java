package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.kernel.DeviceKernels;
import org.bytedeco.pytorch.Tensor;

/**
 * Low-rank matmuls: those with a factor of LoRA, one side of which is the rank. Libraries for the CPU are slow at such skinny
 * shapes, so that our own kernels make them where there are some; elsewhere libtorch does.
 */
final class LowRankMatmul {
    private LowRankMatmul() {}

    /**
     * {@code c = a bᵀ}.
     *
     * @param a shape (n, k)
     * @param b shape (m, k)
     * @param c shape (n, m), each row contiguous
     */
    static void gemmNT(Tensor a, Tensor b, Tensor c) {
        DeviceKernels.of(a).matmul().gemmNT(a, b, c);
    }

    /**
     * {@code c = a b}.
     *
     * @param a shape (n, k)
     * @param b shape (k, m)
     * @param c shape (n, m), each row contiguous
     */
    static void gemmNN(Tensor a, Tensor b, Tensor c) {
        DeviceKernels.of(a).matmul().gemmNN(a, b, c);
    }

    /**
     * Adds {@code aᵀ b} to a sum, in float32 where the device does that in one go.
     *
     * @param sum float32, shape (n, m)
     * @param a shape (k, n)
     * @param b shape (k, m)
     */
    static void addTo(Tensor sum, Tensor a, Tensor b) {
        DeviceKernels.of(a).matmul().addTN(sum, a, b);
    }
}
