package dev.finetune4j.lora.adapter.layer;

import dev.finetune4j.core.nn.Embedding;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** An embedding around another, whose shape and factor it has; see {@link AdaptedLinear}. */
public abstract class AdaptedEmbedding implements Embedding {
    protected final Embedding base;

    protected AdaptedEmbedding(Embedding base) {
        this.base = base;
    }

    @Override
    public final long vocabulary() {
        return base.vocabulary();
    }

    @Override
    public final long width() {
        return base.width();
    }

    @Override
    public final double scale() {
        return base.scale();
    }

    @Override
    public final Map<String, Tensor> parameters() {
        return base.parameters();
    }

    @Override
    public final void close() {
        // Nothing here is its own.
    }
}
