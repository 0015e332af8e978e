package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A linear as a {@link GemvKernel} takes it. Borrows the linear's tensors.
 *
 * @param kernel what multiplies by it
 * @param in size of an input row
 * @param out size of an output row
 * @param form the kernel's own view of the weight
 * @param bias shape (out), in the type of the input; null for none
 * @param addition what an adapter adds; null for nothing
 */
public record GemvWeight(
        GemvKernel kernel,
        int in,
        int out,
        Object form,
        @Nullable Tensor bias,
        @Nullable LowRank addition) {
    /**
     * {@code scale · B A x}.
     *
     * @param a shape (rank, in), float32, contiguous
     * @param b shape (out, rank), float32, contiguous
     */
    public record LowRank(Tensor a, Tensor b, float scale) {
        /** Length of the narrow product. */
        public int rank() {
            return Math.toIntExact(a.size(0));
        }
    }

    /** The same weight with an addition. */
    public GemvWeight with(LowRank added) {
        return new GemvWeight(kernel, in, out, form, bias, added);
    }
}
