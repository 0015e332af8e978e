package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A linear as a {@link GemvKernel} takes it. Borrows the linear's tensors.
 *
 * @param <W> the form in which the kernel takes the weight
 * @param kernel what multiplies by it
 * @param in size of an input row
 * @param out size of an output row
 * @param form the weight itself
 * @param bias shape (out), in the type of the input; null for none
 * @param addition what an adapter adds; null for nothing
 */
public record GemvWeight<W>(
        GemvKernel<W> kernel,
        int in,
        int out,
        W form,
        @Nullable Tensor bias,
        @Nullable LowRank addition) {
    /**
     * {@code scale · B A x}.
     *
     * @param a shape (rank, in), float32, contiguous
     * @param b shape (out, rank), float32, contiguous
     */
    public record LowRank(Tensor a, Tensor b, float scale) {
        /** Length of the product between the factors. */
        public int rank() {
            return Math.toIntExact(a.size(0));
        }
    }

    /** The same weight with an addition. */
    public GemvWeight<W> with(LowRank added) {
        return new GemvWeight<>(kernel, in, out, form, bias, added);
    }

    /** Length of the addition's product between the factors; 0 without one. */
    int rank() {
        return addition == null ? 0 : addition.rank();
    }
}
