package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.RowWeight;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.Supplier;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A linear with a low-rank addition, {@code y = base(x) + (alpha / r) · B A x}
 * (<a href="https://arxiv.org/abs/2106.09685">Hu et al. 2021</a>), around any other linear: dense or 4-bit.
 *
 * <p>With a magnitude the rows of the sum have lengths of their own
 * (<a href="https://arxiv.org/abs/2402.09353">DoRA, Liu et al. 2024</a>): {@code m · (W + s · B A) / ‖W + s · B A‖}.
 * With factors to go without, W stands for {@code W - s · B₀ A₀}.
 *
 * <p>A and B are kept in float32 and used in the precision of {@code x}. Dropout applies only while gradients are recorded.
 * Forward calls may run in several threads at once. It owns neither the base nor the factors.
 */
final class LoraLinear extends AdaptedLinear {
    /** Kernels read 16 bytes of A at a time. */
    private static final int ALIGNED_NUMBERS = 4;

    private final LoraPart part;

    /** A linear that borrows the base and the part's tensors. */
    LoraLinear(Linear base, LoraPart part) {
        super(base);
        this.part = part;
    }

    @Override
    public Tensor forward(Tensor x) {
        return compute(x, null);
    }

    @Override
    public Tensor forward(Tensor x, Supplier<Tensor> again) {
        return compute(x, again);
    }

    private Tensor compute(Tensor x, @Nullable Supplier<Tensor> again) {
        boolean dropping = part.dropout() > 0 && GradMode.is_enabled();
        if (!dropping && isPlain() && base.isFrozen() && x.requires_grad()) {
            return CustomFunction.apply(
                    x,
                    (input, saved) -> run(input, saved, again),
                    (gradient, saved) -> runBack(gradient, saved, again));
        }
        Tensor y = plain(x);
        Tensor input = dropping ? torch.dropout(x, part.dropout(), true) : x;
        if (part.magnitude() == null) {
            return added(y, input);
        }
        Tensor product = product(input, part.a(), part.b());
        Tensor unbiased = withoutBias(dropping ? plain(input) : y);
        Tensor factor = Tensors.as(stretch(part.magnitude()), Tensors.typeOf(x)); // (out)
        return y.add(factor.sub(new Scalar(1)).mul(unbiased)).add(factor.mul(product.mul(new Scalar(part.scale()))));
    }

    /**
     * y + scale · (B A x + bias). The scale is on the narrow side and the sum is the product's own, so that nothing of the
     * output's size is made twice, forward or backward.
     */
    private Tensor added(Tensor y, Tensor x) {
        ScalarType type = Tensors.typeOf(x);
        Tensor low = torch.linear(x, Tensors.as(part.a(), type)).mul(new Scalar(part.scale())); // (…, r)
        Tensor b = Tensors.as(part.b(), type);
        Tensor flat = torch.addmm(y.reshape(-1, y.size(-1)), low.reshape(-1, low.size(-1)), b.t());
        Tensor sum = flat.view(y.shape());
        return part.bias() == null ? sum : sum.add(Tensors.as(part.bias(), type), new Scalar(part.scale()));
    }

    @Override
    public @Nullable RowWeight rowWeight(ScalarType type) {
        RowWeight weight = isPlain() ? base.rowWeight(type) : null;
        boolean readable = part.a().is_contiguous()
                && part.b().is_contiguous()
                && part.a().storage_offset() % ALIGNED_NUMBERS == 0;
        if (weight == null || weight.addition() != null || !readable) {
            return null;
        }
        return weight.with(new RowWeight.LowRank(part.a(), part.b(), (float) part.scale()));
    }

    private boolean isPlain() {
        return part.magnitude() == null && part.without() == null && part.bias() == null;
    }

    /** Forward without libtorch's recording: y and the narrow product share no copy of the output. */
    private Tensor run(Tensor x, CustomFunction.Saved saved, @Nullable Supplier<Tensor> again) {
        ScalarType type = Tensors.typeOf(x);
        Tensor low = torch.mm(
                        x.reshape(-1, x.size(-1)), Tensors.as(part.a(), type).t())
                .mul_(new Scalar(part.scale())); // (n, r)
        Tensor y = base.forward(x);
        y.view(-1, y.size(-1)).addmm_(low, Tensors.as(part.b(), type).t());
        saved.keep(low);
        if (again == null) {
            saved.keep(x);
        }
        return y;
    }

    /**
     * The gradients of A and B go straight to where they are gathered, in float32; that of x is the base's and the
     * adapter's, added in place.
     */
    private Tensor runBack(Tensor gradient, CustomFunction.Saved saved, @Nullable Supplier<Tensor> again) {
        ScalarType type = Tensors.typeOf(gradient);
        Tensor x = again == null ? saved.get(1) : again.get();
        Tensor dy = gradient.reshape(-1, gradient.size(-1)); // (n, out)
        Tensor dlow = torch.mm(dy, Tensors.as(part.b(), type)).mul_(new Scalar(part.scale())); // (n, r)
        gather(part.b(), torch.mm(dy.t(), saved.get(0)));
        gather(part.a(), torch.mm(dlow.t(), x.reshape(-1, x.size(-1))));
        Tensor dx = base.inputGradient(gradient);
        dx.view(-1, dx.size(-1)).addmm_(dlow, Tensors.as(part.a(), type));
        return dx;
    }

    private static void gather(Tensor parameter, Tensor gradient) {
        if (!parameter.requires_grad()) {
            return;
        }
        Tensor sum = parameter.grad();
        if (sum.defined()) {
            sum.add_(gradient);
        } else {
            parameter.mutable_grad().put(gradient.to(ScalarType.Float));
        }
    }

    /** What the base computes without the starting factors, (…, out). */
    private Tensor plain(Tensor x) {
        Tensor y = base.forward(x);
        LoraPart.Factors without = part.without();
        return without == null ? y : y.sub(product(x, without.a(), without.b()), new Scalar(part.scale()));
    }

    private static Tensor product(Tensor x, Tensor a, Tensor b) {
        ScalarType type = Tensors.typeOf(x);
        return torch.linear(torch.linear(x, Tensors.as(a, type)), Tensors.as(b, type));
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
        Scalar scale = new Scalar(part.scale());
        Tensor sum =
                base.denseWeight().add_(torch.matmul(part.b().detach(), part.a().detach()), scale);
        LoraPart.Factors without = part.without();
        return without == null ? sum : sum.sub_(torch.matmul(without.b(), without.a()), scale);
    }

    /** The weight of a plain linear that computes the same: W + scale · B A, its rows at their trained length. */
    @Override
    public Tensor denseWeight() {
        return part.magnitude() == null
                ? sum()
                : sum().mul(stretch(part.magnitude()).detach().view(-1, 1));
    }

    @Override
    public @Nullable Tensor bias() {
        if (part.bias() == null) {
            return base.bias();
        }
        Tensor added = part.bias().mul(new Scalar(part.scale()));
        Tensor own = base.bias();
        return own == null ? added : Tensors.as(own, ScalarType.Float).add(added);
    }
}
