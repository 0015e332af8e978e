package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Map;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * A linear with a low-rank addition, {@code y = base(x) + (alpha / r) · B A x}
 * (<a href="https://arxiv.org/abs/2106.09685">Hu et al. 2021</a>), around any other linear: dense or 4-bit.
 *
 * <p>A and B are kept in float32 and used in the precision of {@code x}. Dropout applies only while gradients are recorded.
 * Forward calls may run in several threads at once. It owns neither the base nor the factors.
 */
public final class LoraLinear implements Linear {
    private final Linear base;
    private final Tensor a;
    private final Tensor b;
    private final double scale;
    private final double dropout;

    /**
     * @param base the linear underneath; borrowed
     * @param a shape (r, in), float32; borrowed from the adapter
     * @param b shape (out, r), float32; borrowed from the adapter
     */
    LoraLinear(Linear base, Tensor a, Tensor b, double scale, double dropout) {
        this.base = base;
        this.a = a;
        this.b = b;
        this.scale = scale;
        this.dropout = dropout;
    }

    @Override
    public Tensor forward(Tensor x) {
        if (a.isNull()) {
            throw new IllegalStateException("the adapter is closed; load it again to use it");
        }
        Tensor y = base.forward(x);
        Tensor input = dropout > 0 && GradMode.is_enabled() ? torch.dropout(x, dropout, true) : x;
        Tensor low = torch.linear(input, Tensors.as(a, Tensors.typeOf(x))); // (…, r)
        return y.add(torch.linear(low, Tensors.as(b, Tensors.typeOf(x))), new Scalar(scale));
    }

    @Override
    public long inFeatures() {
        return base.inFeatures();
    }

    @Override
    public long outFeatures() {
        return base.outFeatures();
    }

    /** The weight of a plain linear that computes the same: W + (alpha / r) · B A. */
    @Override
    public Tensor denseWeight() {
        return base.denseWeight().add_(torch.matmul(b.detach(), a.detach()), new Scalar(scale));
    }

    @Override
    public Map<String, Tensor> parameters() {
        return base.parameters();
    }

    @Override
    public void close() {
        // The base belongs to the model and the factors to the adapter.
    }
}
