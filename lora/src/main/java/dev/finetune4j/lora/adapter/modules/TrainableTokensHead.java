package dev.finetune4j.lora.adapter.modules;

import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdaptedLinear;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** The projection to the vocabulary with some of its rows replaced by trained ones. It owns nothing. */
final class TrainableTokensHead extends AdaptedLinear {
    private final TrainableTokens.Layer layer;

    TrainableTokensHead(Linear base, TrainableTokens.Layer layer) {
        super(base);
        this.layer = layer;
    }

    @Override
    public Tensor forward(Tensor x) {
        Tensor rows = Tensors.as(layer.rows(), Tensors.typeOf(x));
        return base.forward(x).index_copy(-1, layer.index(), torch.linear(x, rows));
    }

    @Override
    public Tensor denseWeight() {
        return base.denseWeight().index_copy_(0, layer.index(), layer.rows().detach());
    }
}
