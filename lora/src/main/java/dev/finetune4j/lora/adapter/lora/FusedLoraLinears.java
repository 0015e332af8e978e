package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.DropoutMask;
import dev.finetune4j.core.kernel.LowRankMatmul;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.FrozenMatmul;
import dev.finetune4j.core.nn.FusedLinears;
import dev.finetune4j.core.nn.Gradients;
import dev.finetune4j.core.nn.HiddenStates;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.RecomputedInput;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * {@code y = x Wᵀ + s · (x Aᵀ) Bᵀ} of frozen linears with one input as one autograd function: forward {@code low = s · x Aᵀ},
 * {@code y = low Bᵀ}, {@code y += x Wᵀ}; backward {@code dlow = s · dy B}, {@code dB += dyᵀ low}, {@code dA += dlowᵀ x},
 * {@code dx = dlow A}, {@code dx += dy W}.
 *
 * <p>The low-rank product is written first and the product with W added to it, so the output passes memory once; all A share
 * one matmul ({@link LowRankMatmul}), and so do the W where {@link FrozenMatmul#concat} can. The gradients of A and B go straight
 * to where they are gathered, in float32. With dropout each linear has a mask of x of its own before its A.
 *
 * <p>DoRA multiplies each output by its row's factor behind that; with dropout, where it needs the product of W with what is left
 * of x as well, {@link LoraLinear} computes it.
 */
final class FusedLoraLinears implements FusedLinears {
    /**
     * One linear.
     *
     * @param base without the addition
     * @param layer the addition; null for none
     * @param column where its outputs begin
     */
    private record Member(Linear base, @Nullable LoraLayer layer, long column) {
        /** Whether the rows of its weight have lengths of their own. */
        boolean isStretched() {
            return layer != null && layer.magnitude() != null;
        }

        /** Its columns of y, (n, out). */
        Tensor outputsOf(Tensor y) {
            return y.narrow(1, column, base.outFeatures());
        }
    }

    private final List<Member> members = new ArrayList<>();
    private final long outputs;

    /** @param linears those with an addition and bare ones, in order */
    FusedLoraLinears(List<Linear> linears) {
        long column = 0;
        for (Linear linear : linears) {
            Member member = linear instanceof LoraLinear adapted
                    ? new Member(adapted.base(), adapted.layer(), column)
                    : new Member(linear, null, column);
            members.add(member);
            column += member.base().outFeatures();
        }
        outputs = column;
    }

    /** Always where stacked products are quicker, elsewhere where it saves something: when gradients are recorded. */
    @Override
    public boolean supports(Tensor x) {
        boolean recorded = GradMode.is_enabled();
        return (DeviceKernels.of(x).matmul().prefersStacked() || recorded)
                && members.stream().allMatch(member -> member.base().frozen() != null && fits(member.layer()));
    }

    private static boolean fits(@Nullable LoraLayer layer) {
        return layer == null
                || (layer.subtracted() == null
                        && layer.bias() == null
                        && (layer.magnitude() == null || !layer.isDropping()));
    }

    /** The frozen weights, behind one another. */
    private FrozenMatmul weights() {
        List<FrozenMatmul> weights = new ArrayList<>();
        for (Member member : members) {
            weights.add(Objects.requireNonNull(member.base().frozen()));
        }
        return weights.get(0).concat(weights);
    }

    @Override
    public Tensor forward(HiddenStates x) {
        return isStretched() ? stretched(unstretched(x)) : unstretched(x);
    }

    private boolean isStretched() {
        return members.stream().anyMatch(Member::isStretched);
    }

    /** Each output by its row's factor, and the biases behind that. */
    private Tensor stretched(Tensor y) {
        ScalarType type = Tensors.typeOf(y);
        List<Tensor> factors = new ArrayList<>();
        List<Tensor> biases = new ArrayList<>();
        for (Member member : members) {
            Tensor ones = Tensors.ones(Tensors.deviceOf(y), type, member.base().outFeatures());
            Tensor bias = member.base().bias();
            factors.add(member.isStretched() ? Tensors.as(stretch(member, type), type) : ones);
            biases.add(bias == null ? torch.zeros_like(ones) : Tensors.as(bias, type));
        }
        Tensor z = y.mul(joined(factors));
        return members.stream().allMatch(member -> member.base().bias() == null) ? z : z.add(joined(biases));
    }

    private static Tensor stretch(Member member, ScalarType type) {
        LoraLayer layer = Objects.requireNonNull(member.layer());
        return new LoraLinear(member.base(), layer).stretch(Objects.requireNonNull(layer.magnitude()), type);
    }

    private static Tensor joined(List<Tensor> vectors) {
        return vectors.size() == 1 ? vectors.get(0) : torch.cat(new TensorVector(vectors.toArray(Tensor[]::new)), 0);
    }

    private Tensor unstretched(HiddenStates x) {
        boolean wanted = x.tensor().requires_grad();
        RecomputedInput recomputation = x.recomputation();
        FrozenMatmul weights = weights();
        List<@Nullable DropoutMask> masks = masks();
        // The factors have gradients even where the input needs none, as in the first layer.
        Tensor input = GradMode.is_enabled() && !wanted && isTrained()
                ? x.tensor().detach().set_requires_grad(true)
                : x.tensor();
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor low = low(given, masks, saved, recomputation);
                    Tensor output = output(given);
                    Tensor y = output.view(-1, outputs);
                    DeviceKernels.of(y).lowRank().up(low, factors(Tensors.typeOf(y), masks, false), y);
                    members.forEach(member -> fillRest(member, y));
                    weights.addForward(y, given.reshape(-1, given.size(-1)));
                    return output;
                },
                (gradient, saved) -> backward(gradient, masks, saved, recomputation, wanted ? weights : null));
    }

    @Override
    public Tensor forwardForGradient(HiddenStates x) {
        if (isStretched()) {
            return forward(x); // the gradient of a magnitude reads the output
        }
        RecomputedInput recomputation = x.recomputation();
        FrozenMatmul weights = weights();
        List<@Nullable DropoutMask> masks = masks();
        return CustomFunction.apply(
                x.tensor(),
                (given, saved) -> {
                    low(given, masks, saved, recomputation);
                    return output(given);
                },
                (gradient, saved) -> backward(gradient, masks, saved, recomputation, weights));
    }

    private boolean isTrained() {
        return members.stream()
                .anyMatch(member -> member.layer() != null
                        && (member.layer().a().requires_grad()
                                || member.layer().b().requires_grad()));
    }

    /** What the pass in progress drops of each member's input; null for nothing. */
    private List<@Nullable DropoutMask> masks() {
        List<@Nullable DropoutMask> masks = new ArrayList<>();
        for (Member member : members) {
            LoraLayer layer = member.layer();
            masks.add(layer == null ? null : Dropout.mask(layer.dropout(), layer.module()));
        }
        return masks;
    }

    /**
     * The factors of those members that have any, in the type of a product.
     *
     * @param gradients whether they are wanted
     */
    private List<LowRankMatmul.Factors> factors(ScalarType type, List<@Nullable DropoutMask> masks, boolean gradients) {
        List<LowRankMatmul.Factors> factors = new ArrayList<>();
        for (int i = 0; i < members.size(); i++) {
            LoraLayer layer = members.get(i).layer();
            if (layer != null) {
                factors.add(new LowRankMatmul.Factors(
                        layer.a(type),
                        layer.b(type),
                        gradients ? gradient(layer.a()) : null,
                        gradients ? gradient(layer.b()) : null,
                        members.get(i).column(),
                        layer.scale(),
                        masks.get(i)));
            }
        }
        return factors;
    }

    private static @Nullable Tensor gradient(Tensor parameter) {
        return parameter.requires_grad() ? Gradients.of(parameter) : null;
    }

    /** The low-rank product s · x Aᵀ, (n, ranks); it is kept, and x unless it is recomputed. */
    private Tensor low(
            Tensor x,
            List<@Nullable DropoutMask> masks,
            CustomFunction.Saved saved,
            @Nullable RecomputedInput recomputation) {
        ScalarType type = Tensors.typeOf(x);
        Tensor flat = x.reshape(-1, x.size(-1)); // (n, in)
        List<LowRankMatmul.Factors> factors = factors(type, masks, false);
        Tensor low = Tensors.empty(Tensors.deviceOf(x), type, flat.size(0), LowRankMatmul.ranks(factors));
        DeviceKernels.of(x).lowRank().down(flat, factors, low);
        saved.keep(low);
        if (recomputation == null) {
            saved.keep(x);
        }
        return low;
    }

    /** Memory for the outputs, (…, outputs). */
    private Tensor output(Tensor x) {
        long[] shape = x.shape();
        shape[shape.length - 1] = outputs;
        return Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), shape);
    }

    /** What else the product with the weight is added to; biases come behind the stretching, if there is any. */
    private void fillRest(Member member, Tensor output) {
        Tensor bias = isStretched() ? null : member.base().bias();
        if (member.layer() != null && bias == null) {
            return;
        }
        Tensor y = member.outputsOf(output);
        if (bias == null) {
            y.zero_();
        } else if (member.layer() == null) {
            y.copy_(Tensors.as(bias, Tensors.typeOf(output)).expand(y.shape()));
        } else {
            y.add_(Tensors.as(bias, Tensors.typeOf(output)));
        }
    }

    /** @param weights what dx goes through; null where nobody wants it */
    private Tensor backward(
            Tensor gradient,
            List<@Nullable DropoutMask> masks,
            CustomFunction.Saved saved,
            @Nullable RecomputedInput recomputation,
            @Nullable FrozenMatmul weights) {
        Tensor low = saved.get(0);
        Tensor dy = gradient.reshape(-1, outputs); // (n, outputs)
        Tensor dlow = Tensors.emptyLike(low); // (n, ranks)
        LowRankMatmul matmul = DeviceKernels.of(dy).lowRank();
        List<LowRankMatmul.Factors> factors = factors(Tensors.typeOf(gradient), masks, true);
        matmul.backwardUp(dy, low, factors, dlow);
        if (recomputation == null) {
            addGradA(dlow, saved.get(1), masks);
        } else {
            addRecomputedGradA(dlow, recomputation, masks);
        }
        if (weights == null) {
            return new Tensor();
        }
        Tensor dx = matmul.inputGradient(dlow, factors); // (n, in)
        weights.addBackward(dx, dy);
        long[] shape = gradient.shape();
        shape[shape.length - 1] = dx.size(1);
        return dx.view(shape);
    }

    private void addRecomputedGradA(Tensor dlow, RecomputedInput recomputation, List<@Nullable DropoutMask> masks) {
        try (TensorScope scope = new TensorScope()) {
            Tensor kept = scope.release(dlow.detach());
            recomputation.then(x -> {
                addGradA(kept, x, masks);
                kept.close();
            });
        }
    }

    private void addGradA(Tensor dlow, Tensor x, List<@Nullable DropoutMask> masks) {
        Tensor flat = x.reshape(-1, x.size(-1)); // (n, in)
        DeviceKernels.of(x).lowRank().addGradA(dlow, flat, factors(Tensors.typeOf(x), masks, true));
    }
}
