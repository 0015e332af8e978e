package dev.finetune4j.lora.adapter.vera;

import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdaptedLinear;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A linear with a random low-rank addition that two trained vectors scale, {@code y = base(x) + λb ⊙ B (λd ⊙ A x)}
 * (<a href="https://arxiv.org/abs/2310.11454">Kopiczko et al. 2023</a>). A and B are the first columns and rows of matrices
 * that all linears of the adapter share.
 *
 * <p>All four are kept in float32 and used in the precision of {@code x}. Dropout applies only in passes that record gradients.
 * It owns neither the base nor the tensors.
 */
final class VeraLinear extends AdaptedLinear {
    private final VeraLayer layer;
    private final VeraLayer.Vectors vectors;

    VeraLinear(Linear base, VeraLayer layer, VeraLayer.Vectors vectors) {
        super(base);
        this.layer = layer;
        this.vectors = vectors;
    }

    @Override
    public Tensor forward(Tensor x) {
        ScalarType type = Tensors.typeOf(x);
        Tensor input = layer.isDropping() ? Dropout.apply(x, layer.dropout(), vectors.module()) : x;
        Tensor low = torch.linear(input, Tensors.as(a(), type)).mul(Tensors.as(vectors.d(), type)); // (…, r)
        Tensor added = torch.linear(low, Tensors.as(b(), type)).mul(Tensors.as(vectors.b(), type)); // (…, out)
        return base.forward(x).add(added);
    }

    /** Shape (r, in). */
    private Tensor a() {
        return layer.a().narrow(1, 0, inFeatures());
    }

    /** Shape (out, r). */
    private Tensor b() {
        return layer.b().narrow(0, 0, outFeatures());
    }

    /** W + (λb ⊙ B) (λd ⊙ A). */
    @Override
    public Tensor denseWeight() {
        Tensor rows = b().mul(vectors.b().detach().view(-1, 1)); // (out, r)
        Tensor columns = a().mul(vectors.d().detach().view(-1, 1)); // (r, in)
        return base.denseWeight().add_(torch.matmul(rows, columns));
    }

    @Override
    public boolean hasDropout() {
        return layer.dropout() > 0 || base.hasDropout();
    }
}
