package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/** The projection to the vocabulary with some of its rows replaced by trained ones. It owns nothing. */
final class TokenRowsHead implements Linear {
    private final Linear base;
    private final TokenRows.Part part;

    TokenRowsHead(Linear base, TokenRows.Part part) {
        this.base = base;
        this.part = part;
    }

    @Override
    public Tensor forward(Tensor x) {
        Tensor rows = Tensors.as(ModulePart.open(part.rows()), Tensors.typeOf(x));
        return base.forward(x).index_copy(-1, part.index(), torch.linear(x, rows));
    }

    @Override
    public long inFeatures() {
        return base.inFeatures();
    }

    @Override
    public long outFeatures() {
        return base.outFeatures();
    }

    @Override
    public Tensor denseWeight() {
        return base.denseWeight().index_copy_(0, part.index(), part.rows().detach());
    }

    @Override
    public @Nullable Tensor bias() {
        return base.bias();
    }

    @Override
    public Map<String, Tensor> parameters() {
        return base.parameters();
    }

    @Override
    public void close() {
        // The base belongs to the model and the rows to the adapter.
    }
}
