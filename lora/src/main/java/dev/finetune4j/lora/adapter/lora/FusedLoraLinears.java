package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.DeviceKernels;
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
import org.bytedeco.pytorch.Scalar;
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
 * one matmul, and so do the W where {@link FrozenMatmul#concat} can. The gradients of A and B go straight to where they are
 * gathered, in float32.
 */
final class FusedLoraLinears implements FusedLinears {
    /**
     * One linear.
     *
     * @param base without the addition
     * @param layer the addition; null for none
     * @param column where its outputs begin
     * @param rank where its ranks begin
     */
    private record Member(Linear base, @Nullable LoraLayer layer, long column, long rank) {
        long ranks() {
            return layer == null ? 0 : layer.a().size(0);
        }

        /** Its columns of y or dy, (n, out). */
        Tensor outputsOf(Tensor y) {
            return y.narrow(1, column, base.outFeatures());
        }

        /** Its columns of the low-rank product or its gradient, (n, r). */
        Tensor ranksOf(Tensor low) {
            return low.narrow(1, rank, ranks());
        }
    }

    private final List<Member> members = new ArrayList<>();
    private final long outputs;

    /** @param linears those with an addition and bare ones, in order */
    FusedLoraLinears(List<Linear> linears) {
        long column = 0;
        long rank = 0;
        for (Linear linear : linears) {
            Member member = linear instanceof LoraLinear adapted
                    ? new Member(adapted.base(), adapted.layer(), column, rank)
                    : new Member(linear, null, column, rank);
            members.add(member);
            column += member.base().outFeatures();
            rank += member.ranks();
        }
        outputs = column;
    }

    /** Always where stacked products are quicker, elsewhere where it saves something: when gradients are recorded. */
    @Override
    public boolean supports(Tensor x) {
        boolean recorded = GradMode.is_enabled();
        return (DeviceKernels.of(x).matmul().prefersStacked() || recorded)
                && members.stream().allMatch(member -> member.base().frozen() != null && isPlain(member.layer()));
    }

    private static boolean isPlain(@Nullable LoraLayer layer) {
        return layer == null
                || (layer.magnitude() == null
                        && layer.subtracted() == null
                        && layer.bias() == null
                        && !layer.isDropping());
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
        boolean wanted = x.tensor().requires_grad();
        RecomputedInput recomputation = x.recomputation();
        FrozenMatmul weights = weights();
        // The factors have gradients even where the input needs none, as in the first layer.
        Tensor input = GradMode.is_enabled() && !wanted && isTrained()
                ? x.tensor().detach().set_requires_grad(true)
                : x.tensor();
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor low = low(given, saved, recomputation);
                    Tensor output = output(given);
                    Tensor y = output.view(-1, outputs);
                    members.forEach(member -> start(member, y, low));
                    weights.addForward(y, given.reshape(-1, given.size(-1)));
                    return output;
                },
                (gradient, saved) -> backward(gradient, saved, recomputation, wanted ? weights : null));
    }

    @Override
    public Tensor forwardForGradient(HiddenStates x) {
        RecomputedInput recomputation = x.recomputation();
        FrozenMatmul weights = weights();
        return CustomFunction.apply(
                x.tensor(),
                (given, saved) -> {
                    low(given, saved, recomputation);
                    return output(given);
                },
                (gradient, saved) -> backward(gradient, saved, recomputation, weights));
    }

    private boolean isTrained() {
        return members.stream()
                .anyMatch(member -> member.layer() != null
                        && (member.layer().a().requires_grad()
                                || member.layer().b().requires_grad()));
    }

    /** The low-rank product s · x Aᵀ, (n, ranks); it is kept, and x unless it is recomputed. */
    private Tensor low(Tensor x, CustomFunction.Saved saved, @Nullable RecomputedInput recomputation) {
        Tensor flat = x.reshape(-1, x.size(-1)); // (n, in)
        Tensor a = allA(Tensors.typeOf(x));
        Tensor low = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), flat.size(0), a.size(0));
        DeviceKernels.of(x).matmul().gemmNT(flat, a, low);
        scale(low);
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

    /** What the product with the weight is added to: the addition and the bias. */
    private static void start(Member member, Tensor output, Tensor low) {
        ScalarType type = Tensors.typeOf(output);
        Tensor y = member.outputsOf(output);
        Tensor bias = member.base().bias();
        if (member.layer() != null) {
            DeviceKernels.of(y)
                    .matmul()
                    .gemmNT(member.ranksOf(low), member.layer().b(type), y);
            if (bias != null) {
                y.add_(Tensors.as(bias, type));
            }
        } else if (bias != null) {
            y.copy_(Tensors.as(bias, type).expand(y.shape()));
        } else {
            y.zero_();
        }
    }

    /** @param weights what dx goes through; null where nobody wants it */
    private Tensor backward(
            Tensor gradient,
            CustomFunction.Saved saved,
            @Nullable RecomputedInput recomputation,
            @Nullable FrozenMatmul weights) {
        ScalarType type = Tensors.typeOf(gradient);
        Tensor low = saved.get(0);
        Tensor dy = gradient.reshape(-1, outputs); // (n, outputs)
        Tensor dlow = Tensors.emptyLike(low); // (n, ranks)
        for (Member member : members) {
            if (member.layer() != null) {
                Tensor own = member.outputsOf(dy);
                Tensor b = member.layer().b();
                DeviceKernels.of(dy).matmul().gemmNN(own, member.layer().b(type), member.ranksOf(dlow));
                accumulateGrad(b, own, member.ranksOf(low));
            }
        }
        scale(dlow);
        if (recomputation == null) {
            accumulateGradA(dlow, saved.get(1));
        } else {
            accumulateRecomputedGradA(dlow, recomputation);
        }
        if (weights == null) {
            return new Tensor();
        }
        Tensor dx = DeviceKernels.of(dlow).matmul().lowRank(dlow, allA(type)); // (n, in)
        weights.addBackward(dx, dy);
        long[] shape = gradient.shape();
        shape[shape.length - 1] = dx.size(1);
        return dx.view(shape);
    }

    private void accumulateRecomputedGradA(Tensor dlow, RecomputedInput recomputation) {
        try (TensorScope scope = new TensorScope()) {
            Tensor kept = scope.release(dlow.detach());
            recomputation.then(x -> {
                accumulateGradA(kept, x);
                kept.close();
            });
        }
    }

    /** The A of all members behind one another, (ranks, in). */
    private Tensor allA(ScalarType type) {
        List<Tensor> factors = members.stream()
                .map(Member::layer)
                .filter(Objects::nonNull)
                .map(layer -> layer.a(type))
                .toList();
        return factors.size() == 1 ? factors.get(0) : torch.cat(new TensorVector(factors.toArray(Tensor[]::new)), 0);
    }

    /** Each member's columns of the low-rank product by its factor. */
    private void scale(Tensor low) {
        double[] scales = members.stream()
                .map(Member::layer)
                .filter(Objects::nonNull)
                .mapToDouble(LoraLayer::scale)
                .distinct()
                .toArray();
        if (scales.length == 1) {
            low.mul_(new Scalar(scales[0]));
            return;
        }
        for (Member member : members) {
            if (member.layer() != null) {
                member.ranksOf(low).mul_(new Scalar(member.layer().scale()));
            }
        }
    }

    /** Adds {@code dlowᵀ x}; where stacked products are quicker x is read once for all members. */
    private void accumulateGradA(Tensor dlow, Tensor x) {
        Tensor flat = x.reshape(-1, x.size(-1)); // (n, in)
        if (members.size() == 1) {
            accumulateGrad(Objects.requireNonNull(members.get(0).layer()).a(), dlow, flat);
        } else if (DeviceKernels.of(x).matmul().prefersStacked()) {
            accumulateGradsOfA(dlow, flat);
        } else {
            for (Member member : members) {
                if (member.layer() != null) {
                    accumulateGrad(member.layer().a(), member.ranksOf(dlow), flat);
                }
            }
        }
    }

    private void accumulateGradsOfA(Tensor dlow, Tensor x) {
        Tensor gradient = torch.mm(dlow.t(), x); // (ranks, in)
        for (Member member : members) {
            if (member.layer() != null && member.layer().a().requires_grad()) {
                Gradients.of(member.layer().a()).add_(gradient.narrow(0, member.rank(), member.ranks()));
            }
        }
    }

    /** Adds {@code leftᵀ right} to a parameter's gradient. */
    private static void accumulateGrad(Tensor parameter, Tensor left, Tensor right) {
        if (parameter.requires_grad()) {
            DeviceKernels.of(left).matmul().addTN(Gradients.of(parameter), left, right);
        }
    }
}
