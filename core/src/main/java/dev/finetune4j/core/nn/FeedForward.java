package dev.finetune4j.core.nn;

import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;

/** The second half of a decoder block, a function of single tokens. */
public sealed interface FeedForward permits GatedMlp, MixtureOfExperts {
    /** (B, T, D) to (B, T, D). */
    Tensor forward(HiddenStates x);

    /** The same where only the backward pass matters; the values are not those of the result. */
    Tensor forwardForGradient(HiddenStates x);

    /** The same part with each linear replaced by what the mapper makes of it. */
    FeedForward map(ModuleTransform mapper);

    /** Hands over the router, where there is one. */
    default void forEachRouter(Consumer<Named<Router>> sink) {
        // A dense part has none.
    }
}
