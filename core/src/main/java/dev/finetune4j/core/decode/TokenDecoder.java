package dev.finetune4j.core.decode;

import java.util.OptionalInt;
import org.bytedeco.pytorch.Tensor;

/**
 * Computes the logits after single tokens by kernels of its own, on a cache that it shares with the ordinary pass. Confined to
 * one thread at a time.
 */
public interface TokenDecoder extends AutoCloseable {
    /**
     * Feeds one token of each sequence.
     *
     * @param tokens one id for each sequence
     * @return the logits of the tokens after them, shape (R, V), in memory that the next step writes over; it stays this
     *     decoder's
     * @throws IllegalArgumentException if there is no such token, or not one for each sequence
     * @throws IllegalStateException if the decoder, the model, its adapter or the cache is closed
     */
    Tensor feed(long... tokens);

    /**
     * Feeds a token of the only sequence and chooses the likeliest after it where its logits are computed. A device may then begin
     * with the step of that one before anybody feeds it.
     *
     * @return the argmax, the first of equals; empty where the host has to look at the {@link #logits}: the device chooses none, or a
     *     logit is NaN or the largest is infinite
     * @throws IllegalArgumentException if there is no such token, or there are more sequences
     * @throws IllegalStateException as {@link #feed}
     */
    default OptionalInt argmaxAfter(long token) {
        feed(token);
        return OptionalInt.empty();
    }

    /** The logits of the last step, as {@link #feed} returns them; after {@link #argmaxAfter} only where that returned nothing. */
    Tensor logits();

    /** Waits for what the device was asked; nothing is written to the cache by a step that nobody has asked for after this. */
    default void settle() {
        // Work is done when a call returns.
    }

    /** The most tokens that {@link #feedPiece} takes now; 0 where the ordinary pass is the way for more than one. */
    default int maxPiece() {
        return 0;
    }

    /**
     * Feeds tokens of the only sequence that follow each other.
     *
     * @param ids at least one, at most {@link #maxPiece}
     * @return as {@link #feed} after the last of them
     * @throws IllegalArgumentException if there is no such token, there are too many, or there are more sequences
     * @throws IllegalStateException as {@link #feed}
     */
    default Tensor feedPiece(int... ids) {
        throw new IllegalArgumentException("pieces are not decoded here; use CausalLM.hidden");
    }

    /** Ends the text, as {@link #close} does, but what does not depend on it may serve another text of the model. */
    default void release() {
        close();
    }

    /** Frees the working memory. Closing twice is fine. */
    @Override
    void close();
}
