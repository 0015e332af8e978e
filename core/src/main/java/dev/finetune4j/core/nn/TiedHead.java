package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.GemvWeight;
import java.util.Map;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The projection to the vocabulary that shares the embedding's weight; it owns nothing. */
public final class TiedHead implements Linear {
    private final Tensor embedding;

    /** @param embedding the embedding's weight, shape (V, D), owned by the model */
    public TiedHead(Tensor embedding) {
        this.embedding = embedding;
    }

    @Override
    public Tensor forward(Tensor x) {
        return LinearFunction.of(x, embedding, null);
    }

    @Override
    public long inFeatures() {
        return embedding.size(1);
    }

    @Override
    public long outFeatures() {
        return embedding.size(0);
    }

    @Override
    public Tensor denseWeight() {
        return embedding.detach().to(ScalarType.Float, false, true, new MemoryFormatOptional());
    }

    @Override
    public Map<String, Tensor> parameters() {
        return Map.of();
    }

    @Override
    public @Nullable Tensor bias() {
        return null;
    }

    @Override
    public @Nullable GemvWeight<?> gemvWeight(ScalarType type) {
        return DeviceKernels.of(embedding).gemvWeight(embedding, null, type);
    }

    @Override
    public void close() {
        // The embedding belongs to the model.
    }
}
