package dev.finetune4j.lora.adapter.ia3;

import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdaptedLinear;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A linear whose output (bias included) or input is multiplied by trained factors, {@code y = l · base(x)} or
 * {@code y = base(l · x)} (<a href="https://arxiv.org/abs/2205.05638">(IA)³, Liu et al. 2022</a>). The product is taken in
 * float32. It owns neither the base nor the factors.
 */
final class Ia3Linear extends AdaptedLinear {
    private final Ia3Layer layer;

    Ia3Linear(Linear base, Ia3Layer layer) {
        super(base);
        this.layer = layer;
    }

    @Override
    public Tensor forward(Tensor x) {
        return layer.ofInput() ? base.forward(rescale(x)) : rescale(base.forward(x));
    }

    private Tensor rescale(Tensor x) {
        return Tensors.as(x.mul(layer.factors().view(-1)), Tensors.typeOf(x));
    }

    @Override
    public @Nullable Rescaled rescaled(ScalarType type) {
        GemvWeight<?> weight = base.gemvWeight(type);
        if (weight == null) {
            return null;
        }
        Tensor factors = layer.factors().detach().view(-1);
        return layer.ofInput() ? new Rescaled(weight, factors, null, null) : new Rescaled(weight, null, factors, null);
    }

    @Override
    public Tensor denseWeight() {
        return base.denseWeight().mul(layer.factors().detach());
    }

    @Override
    public @Nullable Tensor bias() {
        Tensor own = base.bias();
        return own == null || layer.ofInput()
                ? own
                : Tensors.as(own, ScalarType.Float).mul(layer.factors().view(-1));
    }
}
