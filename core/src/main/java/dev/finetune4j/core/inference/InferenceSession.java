package dev.finetune4j.core.inference;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.decode.CpuDecoder;
import dev.finetune4j.core.decode.CudaGraphDecoder;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import java.util.Optional;

/**
 * What a model remembers of a text, and what it expects after it: the seam between generation, which chooses tokens, and the
 * ways to compute their logits.
 *
 * <p>It serves one thread at a time; a second one is refused. It borrows the model: once that is closed, it takes up nothing
 * more. Closing it waits for a {@link #feed} in progress.
 */
public interface InferenceSession extends AutoCloseable {
    /** The keys and values, for who feeds tokens in another way; they stay this session's, which does nothing with them by itself. */
    KvCache memory();

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
     * How many of the first tokens are remembered as a pass over a text of so many tokens would compute them, which goes with its
     * length where rotary frequencies do.
     */
    long alikeIn(long tokens);

    /**
     * Makes ready for a text of which the first tokens are remembered: forgets those that are not {@link #alikeIn} it. The rest of it may
     * then come in pieces.
     *
     * @param tokens of the whole text
     * @return how many of its first ones are still remembered
     * @throws IllegalStateException if this, the model or its adapter is closed, or another thread uses this
     */
    long prepare(long tokens);

    /**
     * Whether the text can grow to that many tokens with what is remembered of it; else it has to be {@linkplain #prepare prepared} for
     * so many, and what is then forgotten fed again.
     */
    boolean goesOnTo(long tokens);

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

    /**
     * Why single tokens take the model's ordinary pass, which is several times as slow as a decoder, as the end of a sentence; empty
     * when they do not.
     */
    default Optional<String> undecodedReason() {
        return Optional.empty();
    }

    /** Lets go of what is needed only while tokens are fed, because none will be for a while. */
    default void idle() {
        // Only decoders have such a thing.
    }

    /** Frees the memory. Closing twice is fine. */
    @Override
    void close();

    /**
     * The quickest way that there is for the model. {@link #undecodedReason}, which is logged too (at level debug), says why
     * single tokens take the ordinary one, if they do.
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
        boolean gpu = model.placement().device().kind() == ComputeDevice.Kind.CUDA;
        Optional<String> reason = gpu ? CudaGraphDecoder.unsupportedReason(model) : CpuDecoder.unsupportedReason(model);
        ForwardSession plain = new ForwardSession(model, cache, reason.orElse(null));
        if (reason.isPresent()) {
            return plain;
        }
        return new DecoderSession(
                plain, cache, () -> gpu ? CudaGraphDecoder.open(model, cache) : new CpuDecoder(model, cache));
    }
}
