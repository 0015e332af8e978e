package dev.finetune4j.core.nn;

import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The second half of a decoder block, a function of single tokens. */
public sealed interface FeedForward permits GatedMlp, PlainMlp, MixtureOfExperts {
    /**
     * (B, T, D) to (B, T, D).
     *
     * @param balance counts what a router chooses; null where nobody asks
     */
    Tensor forward(HiddenStates x, @Nullable RouterBalance balance);

    /**
     * The same where only the backward pass matters; nothing is counted.
     *
     * @param values whether the values have to be those of the result
     */
    Tensor forwardForGradient(HiddenStates x, @Nullable RouterBalance balance, boolean values);

    /** The same part with each linear replaced by what the mapper makes of it. */
    FeedForward map(ModuleTransform mapper);

    /** Hands over the router, where there is one. */
    default void forEachRouter(Consumer<Named<Router>> sink) {
        // A dense part has none.
    }
}
