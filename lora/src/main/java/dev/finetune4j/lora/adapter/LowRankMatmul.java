package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.GemmKernels;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Optional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Low-rank matmuls: those with a factor of LoRA, one side of which is the rank. Libraries for the CPU are slow at such skinny
 * shapes, so that our own kernels make them where there are some; elsewhere libtorch does.
 */
final class LowRankMatmul {
    private LowRankMatmul() {}

    private static Optional<GemmKernels> kernels(Tensor a, Tensor b) {
        return GemmKernels.supports(a) && GemmKernels.supports(b)
                ? CpuKernels.get().map(CpuKernels::products)
                : Optional.empty();
    }

    /**
     * {@code c = a bᵀ}.
     *
     * @param a shape (n, k)
     * @param b shape (m, k)
     * @param c shape (n, m), each row contiguous
     */
    static void gemmNT(Tensor a, Tensor b, Tensor c) {
        kernels(a, b)
                .ifPresentOrElse(kernels -> kernels.gemmNT(a, b, null, c, 1, false), () -> torch.mm_out(c, a, b.t()));
    }

    /**
     * {@code c = a b}.
     *
     * @param a shape (n, k)
     * @param b shape (k, m)
     * @param c shape (n, m), each row contiguous
     */
    static void gemmNN(Tensor a, Tensor b, Tensor c) {
        kernels(a, b).ifPresentOrElse(kernels -> kernels.gemmNN(a, b, c, 1, false), () -> torch.mm_out(c, a, b));
    }

    /**
     * Adds {@code aᵀ b} to a sum, in float32 where the device does that in one go.
     *
     * @param sum float32, shape (n, m)
     * @param a shape (k, n)
     * @param b shape (k, m)
     */
    static void addTo(Tensor sum, Tensor a, Tensor b) {
        Optional<GemmKernels> kernels = kernels(a, b);
        if (kernels.isPresent()) {
            kernels.get().gemmTN(a, b, sum);
        } else if (a.is_cuda() && Tensors.typeOf(a) == ScalarType.BFloat16) {
            Scalar one = new Scalar(1);
            torch.addmm_outf(sum, a.t(), b, ScalarType.Float, one, one, sum);
        } else {
            sum.add_(torch.mm(a.t(), b));
        }
    }
}
