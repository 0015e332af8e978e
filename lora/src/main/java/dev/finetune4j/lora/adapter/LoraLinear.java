package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.FusedLinears;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Recomputation;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Optional;
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
 * With an initialization that is subtracted (PiSSA, OLoRA), W stands for {@code W - s · B₀ A₀}.
 *
 * <p>A and B are kept in float32 and used in the precision of {@code x}. Dropout applies only in passes that record gradients.
 * It owns neither the base nor the factors.
 */
final class LoraLinear extends AdaptedLinear {
    /** Kernels read 16 bytes of A at a time. */
    private static final int ALIGNED_NUMBERS = 4;

    private final LoraLayer part;
    private final FusedLoraLinears products;

    /** A linear that borrows the base and the part's tensors. */
    LoraLinear(Linear base, LoraLayer part) {
        super(base);
        this.part = part;
        this.products = new FusedLoraLinears(List.of(this));
    }

    LoraLayer part() {
        return part;
    }

    @Override
    public Tensor forward(Tensor x) {
        return compute(x, null);
    }

    @Override
    public Tensor forward(Tensor x, Recomputation recomputation) {
        return compute(x, recomputation);
    }

    @Override
    public Tensor forwardForGradient(Tensor x, @Nullable Recomputation recomputation) {
        return products.serves(x) && x.requires_grad()
                ? products.forwardForGradient(x, recomputation)
                : super.forwardForGradient(x, recomputation);
    }

    @Override
    public Optional<FusedLinears> joinedWith(List<Linear> linears) {
        return Optional.of(new FusedLoraLinears(linears));
    }

    @Override
    public boolean isRandom() {
        return part.dropout() > 0;
    }

    private Tensor compute(Tensor x, @Nullable Recomputation recomputation) {
        if (products.serves(x)) {
            return products.forward(x, recomputation);
        }
        boolean dropping = part.isDropping();
        Tensor y = plain(x);
        Tensor input = dropping ? Dropout.apply(x, part.dropout(), part.module()) : x;
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
    public @Nullable GemvWeight<?> gemvWeight(ScalarType type) {
        GemvWeight<?> weight = isPlain() ? base.gemvWeight(type) : null;
        boolean readable = part.a().is_contiguous()
                && part.b().is_contiguous()
                && part.a().storage_offset() % ALIGNED_NUMBERS == 0;
        if (weight == null || weight.addition() != null || !readable) {
            return null;
        }
        return weight.with(new GemvWeight.LowRank(part.a(), part.b(), (float) part.scale()));
    }

    private boolean isPlain() {
        return part.magnitude() == null && part.subtracted() == null && part.bias() == null;
    }

    /** What the base computes without the starting factors, (…, out). */
    private Tensor plain(Tensor x) {
        Tensor y = base.forward(x);
        LoraLayer.Factors subtracted = part.subtracted();
        return subtracted == null ? y : y.sub(product(x, subtracted.a(), subtracted.b()), new Scalar(part.scale()));
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
        LoraLayer.Factors subtracted = part.subtracted();
        return subtracted == null ? sum : sum.sub_(torch.matmul(subtracted.b(), subtracted.a()), scale);
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
