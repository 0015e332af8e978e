package dev.finetune4j.lora.adapter.layer;

import dev.finetune4j.core.nn.Linear;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A linear around another: shapes, weights and bias are the other's unless said otherwise. It owns nothing: the base belongs
 * to the model, what is trained to the adapter.
 */
public abstract class AdaptedLinear implements Linear {
    protected final Linear base;

    protected AdaptedLinear(Linear base) {
        this.base = base;
    }

    @Override
    public final long inFeatures() {
        return base.inFeatures();
    }

    @Override
    public final long outFeatures() {
        return base.outFeatures();
    }

    @Override
    public Tensor denseWeight() {
        return base.denseWeight();
    }

    @Override
    public @Nullable Tensor bias() {
        return base.bias();
    }

    @Override
    public final Map<String, Tensor> parameters() {
        return base.parameters();
    }

    @Override
    public final void close() {
        // Nothing here is its own.
    }

    @Override
    public boolean hasDropout() {
        return base.hasDropout();
    }
}
