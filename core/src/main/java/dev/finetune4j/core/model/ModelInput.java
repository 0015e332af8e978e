package dev.finetune4j.core.model;

import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.PackedSequences;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** What goes through a decoder in one pass. */
public sealed interface ModelInput {
    /** Token ids, int64, shape (B, T), on the model's device. */
    Tensor tokens();

    /**
     * Sequences side by side, each from position 0; shorter ones are padded behind their end, where causal attention does not
     * look.
     *
     * @param tokens shape (B, T)
     * @param lengths of each sequence without its padding, for rotary frequencies that go with it; null where all have T tokens
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    record Padded(Tensor tokens, long @Nullable [] lengths) implements ModelInput {
        public Padded {
            if (lengths != null && lengths.length != tokens.size(0)) {
                throw new IllegalArgumentException(
                        lengths.length + " lengths were given for " + tokens.size(0) + " sequences");
            }
        }
    }

    /**
     * Sequences behind one another in a row. Each starts at position 0 and sees nothing of the others, so its result is that
     * of the sequence alone.
     *
     * @param tokens shape (1, T)
     * @param sequences where they lie, of T positions in all
     */
    record Packed(Tensor tokens, PackedSequences sequences) implements ModelInput {
        public Packed {
            if (tokens.size(0) != 1 || sequences.total() != tokens.size(1)) {
                throw new IllegalArgumentException("sequences of the lengths " + Arrays.toString(sequences.lengths())
                        + " do not fill tokens of the shape " + Arrays.toString(tokens.shape()));
            }
        }
    }

    /**
     * The tokens behind those that a cache holds, which takes up the new ones.
     *
     * @param cache of the model; stays the caller's
     */
    record Cached(Tensor tokens, KvCache cache) implements ModelInput {}

    /** {@link Padded}, of sequences of one length. */
    static ModelInput padded(Tensor tokens) {
        return new Padded(tokens, null);
    }

    /**
     * {@link Padded}.
     *
     * @throws IllegalArgumentException if there are not as many lengths as sequences
     */
    static ModelInput padded(Tensor tokens, long... lengths) {
        return new Padded(tokens, lengths.clone());
    }

    /**
     * {@link Packed}.
     *
     * @throws IllegalArgumentException if the sequences do not fill the row
     */
    static ModelInput packed(Tensor tokens, PackedSequences sequences) {
        return new Packed(tokens, sequences);
    }

    /**
     * {@link Packed}; the caller's scope owns what says where the sequences lie.
     *
     * @throws IllegalArgumentException if the lengths do not fill the row
     */
    static ModelInput packed(Tensor tokens, long... lengths) {
        return new Packed(tokens, PackedSequences.of(Tensors.deviceOf(tokens), lengths));
    }

    /** {@link Cached}. */
    static ModelInput cached(Tensor tokens, KvCache cache) {
        return new Cached(tokens, cache);
    }
}
