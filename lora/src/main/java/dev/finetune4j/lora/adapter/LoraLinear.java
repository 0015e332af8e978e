package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Map;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * A linear with a low-rank addition, {@code y = base(x) + (alpha / r) · B A x}
 * (<a href="https://arxiv.org/abs/2106.09685">Hu et al. 2021</a>), around any other linear: dense or 4-bit.
 *
 * <p>With a magnitude the rows of the sum have lengths of their own
 * (<a href="https://arxiv.org/abs/2402.09353">DoRA, Liu et al. 2024</a>): {@code m · (W + s · B A) / ‖W + s · B A‖}.
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
    private final @Nullable Tensor magnitude;

    /**
     * @param base the linear underneath; borrowed
     * @param a shape (r, in), float32; borrowed from the adapter
     * @param b shape (out, r), float32; borrowed from the adapter
     * @param magnitude length of each row of the adapted weight, shape (out), float32; null when it is not trained apart
     */
    LoraLinear(Linear base, Tensor a, Tensor b, double scale, double dropout, @Nullable Tensor magnitude) {
        this.base = base;
        this.a = a;
        this.b = b;
        this.scale = scale;
        this.dropout = dropout;
        this.magnitude = magnitude;
    }

    @Override
    public Tensor forward(Tensor x) {
        if (a.isNull()) {
            throw new IllegalStateException("the adapter is closed; load it again to use it");
        }
        Tensor y = base.forward(x);
        boolean dropping = dropout > 0 && GradMode.is_enabled();
        Tensor input = dropping ? torch.dropout(x, dropout, true) : x;
        Tensor low = torch.linear(input, Tensors.as(a, Tensors.typeOf(x))); // (…, r)
        if (magnitude != null) {
            Tensor plain = withoutBias(dropping ? base.forward(input) : y);
            Tensor product = torch.linear(low, Tensors.as(b, Tensors.typeOf(x))).mul(new Scalar(scale));
            Tensor factor = Tensors.as(stretch(magnitude), Tensors.typeOf(x)); // (out)
            return y.add(factor.sub(new Scalar(1)).mul(plain)).add(factor.mul(product));
        }
        return y.add(torch.linear(low, Tensors.as(b, Tensors.typeOf(x))), new Scalar(scale));
    }

    private Tensor withoutBias(Tensor y) {
        Tensor bias = base.bias();
        return bias == null ? y : y.sub(Tensors.as(bias, Tensors.typeOf(y)));
    }

    /** What each row of the adapted weight is multiplied by; its length counts as a constant in the backward pass. */
    private Tensor stretch(Tensor trained) {
        try (TensorScope scope = new TensorScope()) {
            Tensor length;
            try (NoGradGuard off = new NoGradGuard()) {
                length = sum().pow(new Scalar(2)).sum(1).sqrt();
            }
            return scope.keep(trained.div(length));
        }
    }

    /** W + scale · B A, shape (out, in), float32. */
    private Tensor sum() {
        return base.denseWeight().add_(torch.matmul(b.detach(), a.detach()), new Scalar(scale));
    }

    @Override
    public long inFeatures() {
        return base.inFeatures();
    }

    @Override
    public long outFeatures() {
        return base.outFeatures();
    }

    /** The weight of a plain linear that computes the same: W + scale · B A, its rows at their trained length. */
    @Override
    public Tensor denseWeight() {
        return magnitude == null ? sum() : sum().mul(stretch(magnitude).detach().view(-1, 1));
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
        // The base belongs to the model and the factors to the adapter.
    }
}
