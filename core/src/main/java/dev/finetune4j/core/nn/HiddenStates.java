package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The activations that a layer reads, and whether the backward pass recomputes them.
 *
 * @param tensor shape (B, T, …)
 * @param recomputation hands them out once more in the backward pass; null when who needs them there must keep them
 */
public record HiddenStates(Tensor tensor, @Nullable RecomputedInput recomputation) {
    /** Activations that nothing recomputes. */
    public static HiddenStates of(Tensor tensor) {
        return new HiddenStates(tensor, null);
    }
}
