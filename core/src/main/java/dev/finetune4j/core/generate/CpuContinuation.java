package dev.finetune4j.core.generate;

import dev.finetune4j.core.decode.CpuDecoder;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Tensors;
import org.jspecify.annotations.Nullable;

/** A continuation that takes single tokens by the kernels of the CPU, and longer pieces by the ordinary pass on the same cache. */
final class CpuContinuation implements Continuation {
    private final CausalLM model;
    private final KvCache cache;
    private final Continuation plain;
    private @Nullable CpuDecoder decoder;

    /**
     * @param cache of the model
     * @param plain takes longer pieces on the same cache, which it closes
     */
    CpuContinuation(CausalLM model, KvCache cache, Continuation plain) {
        this.model = model;
        this.cache = cache;
        this.plain = plain;
    }

    @Override
    public long length() {
        return plain.length();
    }

    @Override
    public void truncate(long newLength) {
        plain.truncate(newLength);
    }

    @Override
    public float[] feed(int[] ids) {
        if (ids.length > 1) {
            return plain.feed(ids);
        }
        if (decoder == null) {
            decoder = new CpuDecoder(model, cache);
        }
        return Tensors.toFloats(decoder.feed(ids[0]));
    }

    @Override
    public void close() {
        if (decoder != null) {
            decoder.close();
        }
        plain.close();
    }
}
