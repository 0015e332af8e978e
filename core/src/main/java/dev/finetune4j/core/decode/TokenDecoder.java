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
     * The argmax of the first sequence's logits after the last step, the first of equals, if the device has computed it with
     * them. Empty too if a logit is NaN or the largest is infinite.
     */
    default OptionalInt deviceArgmax() {
        return OptionalInt.empty();
    }

    /** Frees the working memory. Closing twice is fine. */
    @Override
    void close();
}
