package dev.finetune4j.core.generate;

import dev.finetune4j.core.decode.CpuDecoder;
import dev.finetune4j.core.decode.GraphDecoder;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.ComputeDevice;

/**
 * What a model remembers of a text, and what it expects after it: the seam between generation, which chooses tokens, and the
 * ways to compute their logits.
 *
 * <p>Confined to one thread at a time. It borrows the model: close it first.
 */
public interface Continuation extends AutoCloseable {
    /** How many tokens are remembered. */
    long length();

    /**
     * Forgets all tokens from {@code newLength} on.
     *
     * @throws IllegalArgumentException if fewer are remembered
     */
    void truncate(long newLength);

    /**
     * Takes up more of the text.
     *
     * @param ids at least one
     * @return the logits of the token after them, (V); the caller may change them
     * @throws IllegalStateException if this, the model or its adapter is closed
     */
    float[] feed(int[] ids);

    /** Frees the memory. Closing twice is fine. */
    @Override
    void close();

    /**
     * The quickest way that there is for the model; {@link GraphDecoder#obstacle} and {@link CpuDecoder#obstacle} say when single
     * tokens take the ordinary one.
     */
    static Continuation of(CausalLM model) {
        KvCache cache = model.newCache();
        Continuation plain = new CachedContinuation(model, cache);
        if (model.placement().device().kind() == ComputeDevice.Kind.CPU) {
            return CpuDecoder.obstacle(model).isPresent()
                    ? plain
                    : new DecodingContinuation(plain, () -> new CpuDecoder(model, cache));
        }
        return GraphDecoder.obstacle(model).isPresent()
                ? plain
                : new DecodingContinuation(plain, () -> new GraphDecoder(model, cache, 1));
    }
}
