package dev.finetune4j.lora.adapter.modules;

import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdaptedEmbedding;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** An embedding with some of its rows replaced by trained ones. It owns nothing. */
final class TrainableTokensEmbedding extends AdaptedEmbedding {
    private final TrainableTokens.Layer layer;

    TrainableTokensEmbedding(Embedding base, TrainableTokens.Layer layer) {
        super(base);
        this.layer = layer;
    }

    /** Only the tokens' own rows are touched, never the whole table. */
    @Override
    public Tensor forward(Tensor tokens) {
        Tensor rows = base.forward(tokens); // (B, T, D)
        Tensor trained = Tensors.as(layer.rows(), Tensors.typeOf(rows));
        Tensor same = tokens.unsqueeze(-1).eq(layer.index()); // (B, T, n)
        Tensor place = same.to(torch.ScalarType.Long).argmax(new LongOptional(-1), false); // (B, T)
        Tensor replaced = torch.embedding(trained, place);
        if (base.scale() != 1) {
            replaced = replaced.mul(new Scalar(base.scale()));
        }
        return torch.where(same.any(-1, true), replaced, rows);
    }

    @Override
    public Tensor denseWeight() {
        return base.denseWeight().index_copy_(0, layer.index(), layer.rows().detach());
    }
}
