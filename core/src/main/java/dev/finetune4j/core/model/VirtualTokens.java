package dev.finetune4j.core.model;

import dev.finetune4j.core.nn.KvStore;
import org.bytedeco.pytorch.Tensor;

/**
 * Trained positions that stand before the first token of every sequence: what prompt tuning, P-tuning and prefix tuning
 * train. They are asked for anew in every forward pass, so that gradients reach whatever makes them.
 */
public sealed interface VirtualTokens {
    /** How many positions there are, n. */
    int count();

    /** Whether making them drops something in passes that record gradients; see {@link dev.finetune4j.core.nn.Dropout}. */
    default boolean hasDropout() {
        return false;
    }

    /** Virtual tokens that enter where looked-up tokens do. */
    non-sealed interface Prompt extends VirtualTokens {
        /** The vectors, shape (n, D). */
        Tensor embeddings();
    }

    /** Virtual tokens that exist as keys and values of every layer. */
    non-sealed interface Prefix extends VirtualTokens {
        /**
         * Starts a forward pass.
         *
         * @return gives each layer, counted from 0, its keys and values, of shape (1, kv heads, n, head size)
         */
        Layers layers();
    }

    /** The keys and values of one forward pass. */
    @FunctionalInterface
    interface Layers {
        /** Those of a layer. */
        KvStore.KeysAndValues layer(int index);
    }
}
