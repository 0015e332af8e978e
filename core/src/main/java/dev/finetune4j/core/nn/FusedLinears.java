package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Several linears of one input as one operation with one output, in which theirs lie behind one another. It owns nothing.
 *
 */
public interface FusedLinears {
    /** Whether it can stand for the linears now, for this input. */
    boolean serves(Tensor x);

    /**
     * The outputs of all linears.
     *
     * @param x shape (…, in)
     * @param recomputation recomputes {@code x} in the backward pass, so that it need not be kept; null if nothing does
     * @return shape (…, sum of the linears' outputs)
     */
    Tensor forward(Tensor x, @Nullable Recomputation recomputation);
}
