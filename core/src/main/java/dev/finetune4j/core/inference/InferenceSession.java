package dev.finetune4j.core.inference;

import dev.finetune4j.core.decode.CpuDecoder;
import dev.finetune4j.core.decode.CudaGraphDecoder;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;

/**
 * What a model remembers of a text, and what it expects after it: the seam between generation, which chooses tokens, and the
 * ways to compute their logits.
 *
 * <p>It serves one thread at a time; a second one is refused. It borrows the model: once that is closed, it takes up nothing
 * more. Closing it waits for a {@link #feed} in progress.
 */
public interface InferenceSession extends AutoCloseable {
    /** How many tokens are remembered. */
    long length();

    /**
     * Forgets all tokens from {@code newLength} on.
     *
     * @throws IllegalArgumentException if fewer are remembered
     * @throws IllegalStateException if this is closed, or another thread uses it
     */
    void truncate(long newLength);

    /**
     * Takes up more of the text.
     *
     * @param ids at least one
     * @return the logits of the token after them, (V); the caller may change them
     * @throws IllegalStateException if this, the model or its adapter is closed, or another thread uses this
     */
    float[] feed(int[] ids);

    /**
     * Takes up more of the text, and chooses the likeliest token where its logits were computed.
     *
     * @param ids at least one
     * @return the argmax of the logits after them, the first of equals; what is not a number is never it
     * @throws dev.finetune4j.core.FineTune4jException when the largest logit is not a finite number
     * @throws IllegalStateException if this, the model or its adapter is closed, or another thread uses this
     */
    default int feedArgmax(int[] ids) {
        return Sampler.argmax(feed(ids));
    }

    /** Frees the memory. Closing twice is fine. */
    @Override
    void close();

    /**
     * The quickest way that there is for the model; {@link CudaGraphDecoder#unsupportedReason} and {@link
     * CpuDecoder#unsupportedReason} say when single tokens take the ordinary one.
     *
     * @throws IllegalStateException if the model or its adapter is closed
     */
    static InferenceSession of(CausalLM model) {
        KvCache cache = model.newCache();
        try {
            return of(model, cache);
        } catch (RuntimeException | Error e) {
            cache.close();
            throw e;
        }
    }

    private static InferenceSession of(CausalLM model, KvCache cache) {
        InferenceSession plain = new ForwardSession(model, cache);
        if (CudaGraphDecoder.unsupportedReason(model).isEmpty()) {
            return new DecoderSession(plain, () -> new CudaGraphDecoder(model, cache, 1));
        }
        return CpuDecoder.unsupportedReason(model).isEmpty()
                ? new DecoderSession(plain, () -> new CpuDecoder(model, cache))
                : plain;
    }
}
