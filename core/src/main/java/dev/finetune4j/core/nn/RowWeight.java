package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A linear as a {@link RowKernel} takes it. Borrows the linear's tensors.
 *
 * @param kernel what multiplies by it
 * @param in size of an input row
 * @param out size of an output row
 * @param form the kernel's own view of the weight
 * @param bias shape (out), in the type of the input; null for none
 * @param addition what an adapter adds; null for nothing
 */
public record RowWeight(
        RowKernel kernel,
        int in,
        int out,
        Object form,
        @Nullable Tensor bias,
        @Nullable LowRank addition) {
    /**
     * {@code scale · B A x}.
     *
     * @param a shape (rank, in), float32, without gaps
     * @param b shape (out, rank), float32, without gaps
     */
    public record LowRank(Tensor a, Tensor b, float scale) {
        /** Length of the narrow product. */
        public int rank() {
            return Math.toIntExact(a.size(0));
        }
    }

    /** The same weight with an addition. */
    public RowWeight with(LowRank added) {
        return new RowWeight(kernel, in, out, form, bias, added);
    }
}
