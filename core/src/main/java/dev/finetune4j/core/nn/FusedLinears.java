package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;

/**
 * Linears of one input as one operation with one output, in which theirs are concatenated. It owns nothing.
 */
public interface FusedLinears {
    /** Whether it can stand for the linears now, for this input. */
    boolean supports(Tensor x);

    /**
     * The outputs of all linears.
     *
     * @param x shape (…, in); what is recomputed is not kept for the backward pass
     * @return shape (…, sum of the linears' outputs)
     */
    Tensor forward(HiddenStates x);

    /**
     * As {@link #forward} where activation checkpointing runs it once more for its backward pass.
     *
     * @param x requires a gradient
     * @return of the shape and with the gradients of {@link #forward}, but of undefined contents where only the graph is needed
     */
    Tensor forwardForGradient(HiddenStates x);
}
