package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;

/**
 * A choice of experts as kernels take it. Borrows the weight.
 *
 * @param weight shape (experts, D)
 * @param active experts of a row, k
 * @param normalised whether the shares of a row's experts sum to one
 */
public record RouterSpec(Tensor weight, int active, boolean normalised) {
    /** How many experts there are. */
    public int experts() {
        return Math.toIntExact(weight.size(0));
    }
}
