package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.FusedLinears;
import dev.finetune4j.core.nn.HiddenStates;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.WeightStack;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdaptedLinear;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * {@code y = base(x) + s · B A x} with {@code s = alpha / r}: LoRA, a linear with a low-rank addition
 * (<a href="https://arxiv.org/abs/2106.09685">Hu et al. 2021</a>), around any other linear: dense or 4-bit.
 *
 * <p>With a magnitude the rows of the sum have lengths of their own
 * (<a href="https://arxiv.org/abs/2402.09353">DoRA, Liu et al. 2024</a>): {@code m · (W + s · B A) / ‖W + s · B A‖}.
 * With an initialization that is subtracted (PiSSA, OLoRA), W stands for {@code W - s · B₀ A₀}.
 *
 * <p>Most trainings go by {@link FusedLoraLinears}, which has the same formula for several linears of one input and a backward pass
 * of its own.
 *
 * <p>A and B are kept in float32 and used in the precision of {@code x}. Dropout applies only in passes that record gradients.
 * It owns neither the base nor the factors.
 */
final class LoraLinear extends AdaptedLinear {
    /** Kernels read 16 bytes of A at a time. */
    private static final int ALIGNED_NUMBERS = 4;

    private final LoraLayer layer;
    private final FusedLoraLinears fused;

    /** A linear that borrows the base and the layer's tensors. */
    LoraLinear(Linear base, LoraLayer layer) {
        super(base);
        this.layer = layer;
        this.fused = new FusedLoraLinears(List.of(this));
    }

    Linear base() {
        return base;
    }

    LoraLayer layer() {
        return layer;
    }

    @Override
    public Tensor forward(Tensor x) {
        if (fused.supports(x)) {
            return fused.forward(HiddenStates.of(x));
        }
        Tensor y = residualBase(x); // (…, out)
        Tensor dropped = layer.isDropping() ? Dropout.apply(x, layer.dropout(), layer.module()) : x;
        return layer.magnitude() == null ? unfusedLora(y, dropped) : dora(y, dropped, layer.magnitude());
    }

    @Override
    public Optional<FusedLinears> fusedWith(List<Linear> linears) {
        return Optional.of(new FusedLoraLinears(linears));
    }

    @Override
    public Optional<WeightStack> stackedWith(List<Linear> linears, int groups) {
        return LoraStack.of(linears, groups);
    }

    @Override
    public boolean hasDropout() {
        return layer.dropout() > 0;
    }

    /** What the base computes with its residual weight W - s · B₀ A₀, (…, out). */
    private Tensor residualBase(Tensor x) {
        Tensor y = base.forward(x);
        LoraLayer.Factors subtracted = layer.subtracted();
        return subtracted == null ? y : y.sub(lowRank(x, subtracted.a(), subtracted.b()), scale());
    }

    /**
     * {@code y + s · (B A x + bias)}. The scale is on the rank's side and the sum is the matmul's own, so that nothing of the
     * output's size is made twice, forward or backward.
     */
    private Tensor unfusedLora(Tensor y, Tensor x) {
        ScalarType type = Tensors.typeOf(x);
        Tensor low = torch.linear(x, Tensors.as(layer.a(), type)).mul(scale()); // (…, r)
        Tensor b = Tensors.as(layer.b(), type); // (out, r)
        Tensor flat = torch.addmm(y.reshape(-1, y.size(-1)), low.reshape(-1, low.size(-1)), b.t()); // (n, out)
        Tensor sum = flat.view(y.shape());
        return layer.bias() == null ? sum : sum.add(Tensors.as(layer.bias(), type), scale());
    }

    /**
     * {@code y + (f - 1) · W x + f · s · B A x} with {@code f = m / ‖W + s · B A‖}.
     *
     * @param y what the base computes from the whole input, bias included
     * @param x the input, or what dropout left of it
     */
    private Tensor dora(Tensor y, Tensor x, Tensor magnitude) {
        Tensor unbiased = withoutBias(layer.isDropping() ? residualBase(x) : y); // (…, out)
        Tensor added = lowRank(x, layer.a(), layer.b()); // (…, out)
        Tensor f = Tensors.as(stretch(magnitude, Tensors.typeOf(x)), Tensors.typeOf(x)); // (out)
        return y.add(f.sub(new Scalar(1)).mul(unbiased)).add(f.mul(added.mul(scale())));
    }

    /** (x Aᵀ) Bᵀ. */
    private static Tensor lowRank(Tensor x, Tensor a, Tensor b) {
        ScalarType type = Tensors.typeOf(x);
        return torch.linear(torch.linear(x, Tensors.as(a, type)), Tensors.as(b, type));
    }

    private Scalar scale() {
        return new Scalar(layer.scale());
    }

    @Override
    public @Nullable GemvWeight<?> gemvWeight(ScalarType type) {
        return layer.magnitude() == null ? weightWithFactors(type) : null;
    }

    /** {@code W x + s · B A x} for few rows; null where there is no such way. */
    private @Nullable GemvWeight<?> weightWithFactors(ScalarType type) {
        if (!isReadable()) {
            return null;
        }
        GemvWeight<?> weight = base.gemvWeight(type);
        return weight == null || weight.addition() != null ? null : weight.with(added());
    }

    @Override
    public @Nullable Rescaled rescaled(ScalarType type) {
        GemvWeight<?> weight = weightWithFactors(type);
        if (weight == null) {
            return null;
        }
        if (layer.magnitude() == null) {
            return new Rescaled(weight, null, null, null);
        }
        RowNorms.Stretch stretch = layer.norms().kept(base, layer, layer.magnitude(), this::sum, type);
        return new Rescaled(weight, null, stretch.factors(), stretch.bias());
    }

    @Override
    public @Nullable LowRankAddition addition() {
        return layer.magnitude() == null && isReadable() ? new LowRankAddition(base, added()) : null;
    }

    private GemvWeight.LowRank added() {
        return new GemvWeight.LowRank(layer.a(), layer.b(), (float) layer.scale());
    }

    /** Whether the factors are all that there is, as kernels read them. */
    private boolean isReadable() {
        return layer.subtracted() == null
                && layer.bias() == null
                && layer.a().is_contiguous()
                && layer.b().is_contiguous()
                && layer.a().storage_offset() % ALIGNED_NUMBERS == 0;
    }

    private Tensor withoutBias(Tensor y) {
        Tensor bias = base.bias();
        return bias == null ? y : y.sub(Tensors.as(bias, Tensors.typeOf(y)));
    }

    /**
     * What each row of the adapted weight is multiplied by, m / ‖W + s · B A‖, float32, shape (out); the length counts as a
     * constant in the backward pass.
     *
     * @param type in which W is multiplied
     */
    Tensor stretch(Tensor magnitude, ScalarType type) {
        try (TensorScope scope = new TensorScope()) {
            return scope.keep(magnitude.div(layer.norms().of(base, layer, this::sum, type)));
        }
    }

    /** W + scale · B A, shape (out, in), float32. */
    private Tensor sum() {
        Tensor sum = base.denseWeight()
                .add_(torch.matmul(layer.b().detach(), layer.a().detach()), scale());
        LoraLayer.Factors subtracted = layer.subtracted();
        return subtracted == null ? sum : sum.sub_(torch.matmul(subtracted.b(), subtracted.a()), scale());
    }

    /** The weight of a plain linear that computes the same: W + scale · B A, its rows at their trained length. */
    @Override
    public Tensor denseWeight() {
        return layer.magnitude() == null
                ? sum()
                : sum().mul(stretch(layer.magnitude(), ScalarType.Float)
                        .detach()
                        .view(-1, 1));
    }

    @Override
    public @Nullable Tensor bias() {
        if (layer.bias() == null) {
            return base.bias();
        }
        Tensor added = layer.bias().mul(scale());
        Tensor own = base.bias();
        return own == null ? added : Tensors.as(own, ScalarType.Float).add(added);
    }
}
