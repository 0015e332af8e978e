package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.nn.FusedLinears;
import dev.finetune4j.core.nn.Gradients;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Recomputation;
import dev.finetune4j.core.nn.StackedWeights;
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
 * Frozen linears of one input with plain low-rank additions as one operation with its own backward pass,
 * {@code y = x Wᵀ + s · (x Aᵀ) Bᵀ}: the narrow product is written first and the wide one adds to it, so the output passes
 * memory once; all A share one product, and so do the weights where {@link StackedWeights} can. The gradients of A and B go
 * straight to where they are gathered, in float32.
 */
final class FusedLoraLinears implements FusedLinears {
    /**
     * One linear.
     *
     * @param base without the addition
     * @param part the addition; null for none
     */
    private record Member(Linear base, @Nullable LoraLayer part) {
        long rank() {
            return part == null ? 0 : part.a().size(0);
        }
    }

    private final List<Member> members = new ArrayList<>();
    private final StackedWeights weights;
    private final long outputs;

    /** @param linears those with an addition and bare ones, in order */
    FusedLoraLinears(List<Linear> linears) {
        List<Linear> bases = new ArrayList<>();
        for (Linear linear : linears) {
            Member member = linear instanceof LoraLinear adapted
                    ? new Member(adapted.base, adapted.part())
                    : new Member(linear, null);
            members.add(member);
            bases.add(member.base());
        }
        weights = bases.get(0).stackedWith(bases);
        outputs = bases.stream().mapToLong(Linear::outFeatures).sum();
    }

    /** On the GPU always, elsewhere where it saves something: when gradients are recorded. */
    @Override
    public boolean serves(Tensor x) {
        boolean recorded = GradMode.is_enabled();
        return (x.is_cuda() || recorded)
                && members.stream().allMatch(member -> member.base().isFrozen() && isPlain(member.part()));
    }

    private static boolean isPlain(@Nullable LoraLayer part) {
        return part == null
                || (part.magnitude() == null && part.subtracted() == null && part.bias() == null && !part.isDropping());
    }

    @Override
    public Tensor forward(Tensor x, @Nullable Recomputation recomputation) {
        boolean wanted = x.requires_grad();
        // The factors have gradients even where the input needs none, as in the first layer.
        Tensor input =
                GradMode.is_enabled() && !wanted && isTrained() ? x.detach().set_requires_grad(true) : x;
        return CustomFunction.apply(
                input,
                (given, saved) -> run(given, saved, recomputation),
                (gradient, saved) -> runBack(gradient, saved, recomputation, wanted));
    }

    /** As {@link Linear#forwardForGradient} does for one linear. */
    Tensor forwardForGradient(Tensor x, @Nullable Recomputation recomputation) {
        return CustomFunction.apply(
                x,
                (given, saved) -> {
                    narrow(given, saved, recomputation);
                    return output(given);
                },
                (gradient, saved) -> runBack(gradient, saved, recomputation, true));
    }

    private boolean isTrained() {
        return members.stream()
                .anyMatch(member -> member.part() != null
                        && (member.part().a().requires_grad()
                                || member.part().b().requires_grad()));
    }

    private Tensor run(Tensor x, CustomFunction.Saved saved, @Nullable Recomputation recomputation) {
        Tensor low = narrow(x, saved, recomputation);
        Tensor output = output(x);
        Tensor y = output.view(-1, outputs);
        long column = 0;
        long rank = 0;
        for (Member member : members) {
            start(y.narrow(1, column, member.base().outFeatures()), low.narrow(1, rank, member.rank()), member);
            column += member.base().outFeatures();
            rank += member.rank();
        }
        weights.addProduct(y, x.reshape(-1, x.size(-1)));
        return output;
    }

    /** The narrow product s · x Aᵀ, (n, ranks); it is kept, and x unless it is recomputed. */
    private Tensor narrow(Tensor x, CustomFunction.Saved saved, @Nullable Recomputation recomputation) {
        Tensor flat = x.reshape(-1, x.size(-1));
        Tensor all = allA(Tensors.typeOf(x));
        Tensor low = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), flat.size(0), all.size(0));
        LowRankMatmul.gemmNT(flat, all, low);
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
    private static void start(Tensor y, Tensor low, Member member) {
        ScalarType type = Tensors.typeOf(y);
        Tensor bias = member.base().bias();
        if (member.part() != null) {
            LowRankMatmul.gemmNT(low, member.part().b(type), y);
            if (bias != null) {
                y.add_(Tensors.as(bias, type));
            }
        } else if (bias != null) {
            y.copy_(Tensors.as(bias, type).expand(y.shape()));
        } else {
            y.zero_();
        }
    }

    private Tensor runBack(
            Tensor gradient, CustomFunction.Saved saved, @Nullable Recomputation recomputation, boolean wanted) {
        ScalarType type = Tensors.typeOf(gradient);
        Tensor low = saved.get(0);
        Tensor dy = gradient.reshape(-1, outputs); // (n, outputs)
        Tensor dlow = Tensors.emptyLike(low);
        long column = 0;
        long rank = 0;
        for (Member member : members) {
            if (member.part() != null) {
                Tensor own = dy.narrow(1, column, member.base().outFeatures());
                Tensor b = member.part().b();
                LowRankMatmul.gemmNN(own, member.part().b(type), dlow.narrow(1, rank, member.rank()));
                gather(b, own, low.narrow(1, rank, member.rank()));
            }
            column += member.base().outFeatures();
            rank += member.rank();
        }
        scale(dlow);
        if (recomputation == null) {
            gatherA(dlow, saved.get(1));
        } else {
            gatherLater(dlow, recomputation);
        }
        if (!wanted) {
            return new Tensor();
        }
        Tensor dx = throughA(dlow, allA(type)); // (n, in)
        weights.addInputGradient(dx, dy);
        long[] shape = gradient.shape();
        shape[shape.length - 1] = dx.size(1);
        return dx.view(shape);
    }

    private static Tensor throughA(Tensor dlow, Tensor all) {
        if (dlow.is_cuda()) {
            // The library is twice as fast with a right factor that lies in columns.
            return torch.mm(dlow, all.t().contiguous().t());
        }
        Tensor dx = Tensors.empty(Tensors.deviceOf(dlow), Tensors.typeOf(dlow), dlow.size(0), all.size(1));
        LowRankMatmul.gemmNN(dlow, all, dx);
        return dx;
    }

    private void gatherLater(Tensor dlow, Recomputation recomputation) {
        try (TensorScope scope = new TensorScope()) {
            Tensor kept = scope.release(dlow.detach());
            recomputation.then(x -> {
                gatherA(kept, x);
                kept.close();
            });
        }
    }

    /** The A of all members behind one another, (ranks, in). */
    private Tensor allA(ScalarType type) {
        List<Tensor> factors = members.stream()
                .map(Member::part)
                .filter(Objects::nonNull)
                .map(part -> part.a(type))
                .toList();
        return factors.size() == 1 ? factors.get(0) : torch.cat(new TensorVector(factors.toArray(Tensor[]::new)), 0);
    }

    /** Each member's columns of the narrow product by its factor. */
    private void scale(Tensor low) {
        double[] scales = members.stream()
                .map(Member::part)
                .filter(Objects::nonNull)
                .mapToDouble(LoraLayer::scale)
                .distinct()
                .toArray();
        if (scales.length == 1) {
            low.mul_(new Scalar(scales[0]));
            return;
        }
        long rank = 0;
        for (Member member : members) {
            if (member.part() != null) {
                low.narrow(1, rank, member.rank()).mul_(new Scalar(member.part().scale()));
            }
            rank += member.rank();
        }
    }

    /** Adds {@code dlowᵀ x}; x is read once for all members. */
    private void gatherA(Tensor dlow, Tensor x) {
        Tensor flat = x.reshape(-1, x.size(-1));
        if (members.size() == 1) {
            gather(Objects.requireNonNull(members.get(0).part()).a(), dlow, flat);
            return;
        }
        if (!x.is_cuda()) {
            gatherEachA(dlow, flat);
            return;
        }
        Tensor gradient = torch.mm(dlow.t(), flat); // (ranks, in)
        long rank = 0;
        for (Member member : members) {
            if (member.part() != null && member.part().a().requires_grad()) {
                Gradients.of(member.part().a()).add_(gradient.narrow(0, rank, member.rank()));
            }
            rank += member.rank();
        }
    }

    private void gatherEachA(Tensor dlow, Tensor x) {
        long rank = 0;
        for (Member member : members) {
            if (member.part() != null) {
                gather(member.part().a(), dlow.narrow(1, rank, member.rank()), x);
            }
            rank += member.rank();
        }
    }

    /** Adds {@code leftᵀ right} to a parameter's gradient. */
    private static void gather(Tensor parameter, Tensor left, Tensor right) {
        if (parameter.requires_grad()) {
            LowRankMatmul.addTo(Gradients.of(parameter), left, right);
        }
    }
}
