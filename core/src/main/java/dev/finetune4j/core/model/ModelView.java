package dev.finetune4j.core.model;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.tensor.Lifetime;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How a model looks at its weights.
 *
 * @param virtualTokens trained positions before every sequence; null for none
 * @param activations what blocks keep for the backward pass
 * @param lifetimes that of the model that was loaded, then those of what views add to it
 * @param owner whether closing frees the weights
 */
record ModelView(
        @Nullable VirtualTokens virtualTokens,
        ActivationCheckpointing activations,
        List<Lifetime> lifetimes,
        boolean owner) {
    ModelView {
        lifetimes = List.copyOf(lifetimes);
    }

    /** That of a model which was just loaded. */
    static ModelView ofOwner() {
        return new ModelView(
                null,
                ActivationCheckpointing.none(),
                List.of(Lifetime.shared("the model is closed; load it again to use it")),
                true);
    }

    ModelView borrowed() {
        return new ModelView(virtualTokens, activations, lifetimes, false);
    }

    ModelView with(VirtualTokens tokens) {
        return new ModelView(tokens, activations, lifetimes, false);
    }

    ModelView with(ActivationCheckpointing policy) {
        return new ModelView(virtualTokens, policy, lifetimes, false);
    }

    ModelView with(Lifetime borrowed) {
        List<Lifetime> more = new ArrayList<>(lifetimes);
        more.add(borrowed);
        return new ModelView(virtualTokens, activations, more, false);
    }

    int virtualPositions() {
        return virtualTokens == null ? 0 : virtualTokens.count();
    }
}
