package dev.finetune4j.core.inference;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.Optional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Prefill and decode by the model's own forward pass on a cache: any model, any device. */
final class ForwardSession implements InferenceSession {
    private static final Logger LOG = LoggerFactory.getLogger(ForwardSession.class);

    private final CausalLM model;
    private final KvCache cache;
    private final @Nullable String undecodedReason;

    /**
     * @param cache of the model; closed with this
     * @param undecodedReason why no decoder stands in front of it, as the end of a sentence; null when one does
     */
    ForwardSession(CausalLM model, KvCache cache, @Nullable String undecodedReason) {
        this.model = model;
        this.cache = cache;
        this.undecodedReason = undecodedReason;
        if (undecodedReason != null) {
            LOG.debug("single tokens of the model take the ordinary pass: {}", undecodedReason);
        }
    }

    @Override
    public Optional<String> undecodedReason() {
        return Optional.ofNullable(undecodedReason);
    }

    @Override
    public KvCache memory() {
        return cache;
    }

    @Override
    public long length() {
        return cache.length();
    }

    @Override
    public void truncate(long newLength) {
        cache.truncate(newLength);
    }

    @Override
    public long alikeIn(long tokens) {
        return Math.max(0, cache.alikeIn(tokens));
    }

    @Override
    public long prepare(long tokens) {
        return model.prepare(cache, tokens);
    }

    @Override
    public boolean goesOnTo(long tokens) {
        return cache.goesOnTo(tokens);
    }

    @Override
    public float[] feed(int[] ids) {
        return feed(model, cache, ids);
    }

    /**
     * Takes up tokens behind those of a cache.
     *
     * @return the logits of the token after them, (V)
     */
    static float[] feed(CausalLM model, KvCache cache, int[] ids) {
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            long[] wide = Arrays.stream(ids).asLongStream().toArray();
            Tensor hidden = model.hidden(ModelInput.cached(model.tokens(wide, 1, ids.length), cache)); // (1, T, D)
            Tensor last = hidden.narrow(1, ids.length - 1L, 1);
            return Tensors.toFloats(model.logits(last)); // (V)
        }
    }

    @Override
    public void close() {
        cache.close();
    }
}
