package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdaptedEmbedding;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * An embedding with a low-rank addition to its table, {@code W + (alpha / r) · (B A)ᵀ}, whose columns have lengths of their
 * own when there is a magnitude. See {@link LoraLinear}. It owns neither the base nor the factors.
 */
final class LoraEmbedding extends AdaptedEmbedding {
    private final LoraEmbeddingLayer layer;

    LoraEmbedding(Embedding base, LoraEmbeddingLayer layer) {
        super(base);
        this.layer = layer;
    }

    @Override
    public Tensor forward(Tensor tokens) {
        Tensor rows = base.forward(tokens); // (B, T, D)
        Tensor low = torch.embedding(layer.a().t(), tokens); // (B, T, r)
        Tensor added = torch.linear(low, layer.b()).mul(new Scalar(layer.scale() * base.scale()));
        if (layer.magnitude() != null) {
            Tensor factor = stretch(layer.magnitude());
            return Tensors.as(rows.mul(factor).add(added.mul(factor)), Tensors.typeOf(rows));
        }
        return rows.add(Tensors.as(added, Tensors.typeOf(rows)));
    }

    /** What each column is multiplied by; its length counts as a constant in the backward pass. */
    private Tensor stretch(Tensor trained) {
        try (TensorScope scope = new TensorScope()) {
            Tensor length;
            try (NoGradGuard off = new NoGradGuard()) {
                length = sum().pow(new Scalar(2)).sum(0).sqrt();
            }
            return scope.keep(trained.div(length));
        }
    }

    /** W + scale · (B A)ᵀ, shape (V, D), float32. */
    private Tensor sum() {
        Tensor product = torch.matmul(layer.b().detach(), layer.a().detach()); // (D, V)
        return base.denseWeight().add_(product.t(), new Scalar(layer.scale()));
    }

    @Override
    public Tensor denseWeight() {
        return layer.magnitude() == null
                ? sum()
                : sum().mul(stretch(layer.magnitude()).detach());
    }
}
