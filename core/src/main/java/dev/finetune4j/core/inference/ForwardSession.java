package dev.finetune4j.core.inference;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** Prefill and decode by the model's own forward pass on a cache: any model, any device. */
final class ForwardSession implements InferenceSession {
    private final CausalLM model;
    private final KvCache cache;

    /** @param cache of the model; closed with this */
    ForwardSession(CausalLM model, KvCache cache) {
        this.model = model;
        this.cache = cache;
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
    public float[] feed(int[] ids) {
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
