package dev.finetune4j.core.model;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.nn.EmbeddingNoise;
import dev.finetune4j.core.tensor.Lifetime;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How a model looks at its weights.
 *
 * @param virtualTokens trained positions before every sequence; null for none
 * @param activations what blocks keep for the backward pass
 * @param noise on embedded tokens while gradients are recorded; null for none
 * @param lifetimes that of the model that was loaded, then those of what views add to it
 * @param owner whether closing frees the weights
 */
record ModelView(
        @Nullable VirtualTokens virtualTokens,
        ActivationCheckpointing activations,
        @Nullable EmbeddingNoise noise,
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
                null,
                List.of(Lifetime.shared("the model is closed; load it again to use it")),
                true);
    }

    ModelView borrowed() {
        return new ModelView(virtualTokens, activations, noise, lifetimes, false);
    }

    ModelView with(VirtualTokens tokens) {
        return new ModelView(tokens, activations, noise, lifetimes, false);
    }

    ModelView with(ActivationCheckpointing policy) {
        return new ModelView(virtualTokens, policy, noise, lifetimes, false);
    }

    ModelView with(EmbeddingNoise added) {
        return new ModelView(virtualTokens, activations, added, lifetimes, false);
    }

    ModelView with(Lifetime borrowed) {
        List<Lifetime> more = new ArrayList<>(lifetimes);
        more.add(borrowed);
        return new ModelView(virtualTokens, activations, noise, more, false);
    }

    int virtualPositions() {
        return virtualTokens == null ? 0 : virtualTokens.count();
    }
}
