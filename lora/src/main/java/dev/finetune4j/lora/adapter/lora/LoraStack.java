package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.kernel.AdjacentTensors;
import dev.finetune4j.core.kernel.ExpertAddition;
import dev.finetune4j.core.kernel.GroupedMatmul;
import dev.finetune4j.core.nn.Gradients;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LowRankStack;
import dev.finetune4j.core.nn.WeightStack;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;
import java.util.function.Function;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The factors of single experts' linears as those of one stack: what {@link LoraLinear} is for one linear. An expert with several
 * linears of one input, gate and up, has their A behind one another and a B that is zero but for each linear's own block.
 *
 * @param layers expert by expert, those of its adapted linears in order; of one rank and scale
 * @param linears of an expert, n
 * @param adapted which of them have factors, p places
 */
record LoraStack(List<LoraLayer> layers, int linears, List<Integer> adapted) implements LowRankStack {
    LoraStack {
        layers = List.copyOf(layers);
        adapted = List.copyOf(adapted);
    }

    /**
     * The weights of linears, some of them adapted, and what is added to them; empty where the weights lie apart or the factors are not
     * alike.
     *
     * @param groups experts
     */
    static Optional<WeightStack> of(List<Linear> all, int groups) {
        int linears = all.size() / groups;
        List<Linear> bases = new ArrayList<>();
        List<LoraLayer> layers = new ArrayList<>();
        TreeSet<Integer> adapted = new TreeSet<>();
        for (int i = 0; i < all.size(); i++) {
            if (all.get(i) instanceof LoraLinear linear) {
                bases.add(linear.base());
                layers.add(linear.layer());
                adapted.add(i % linears);
            } else {
                bases.add(all.get(i));
            }
        }
        if (layers.size() != adapted.size() * groups
                || !layers.stream().allMatch(layer -> isLike(layers.get(0), layer))) {
            return Optional.empty();
        }
        LoraStack stack = new LoraStack(layers, linears, List.copyOf(adapted));
        return bases.get(0)
                .stackedWith(bases, groups)
                .filter(weights -> weights.addition() == null)
                .map(weights -> new AdaptedStack(weights, stack));
    }

    private static boolean isLike(LoraLayer first, LoraLayer layer) {
        return layer.subtracted() == null
                && layer.bias() == null
                && layer.magnitude() == null
                && layer.scale() == first.scale()
                && layer.a().size(0) == first.a().size(0);
    }

    @Override
    public double scale() {
        return layers.get(0).scale();
    }

    @Override
    public boolean isTrained() {
        return layers.stream()
                .anyMatch(layer -> layer.a().requires_grad() || layer.b().requires_grad());
    }

    @Override
    public boolean isDropping() {
        return layers.stream().anyMatch(LoraLayer::isDropping);
    }

    private long experts() {
        return layers.size() / places();
    }

    private int places() {
        return adapted.size();
    }

    private long rank() {
        return layers.get(0).a().size(0);
    }

    private long outputs() {
        return layers.get(0).b().size(0);
    }

    /** The rank as products of groups take it. */
    private long padded() {
        int multiple = GroupedMatmul.ALIGNED_NUMBERS;
        return (rank() + multiple - 1) / multiple * multiple;
    }

    private List<Tensor> each(Function<LoraLayer, Tensor> tensor) {
        return layers.stream().map(tensor).toList();
    }

    @Override
    public Tensor a(ScalarType type) {
        Tensor rows = Tensors.as(AdjacentTensors.rows(each(LoraLayer::a)).detach(), type); // (experts · p · r, in)
        Tensor a = rows.view(experts() * places(), rank(), -1);
        Tensor filled = padded() == rank() ? a : torch.constant_pad_nd(a, new long[] {0, 0, 0, padded() - rank()});
        return filled.view(experts(), places() * padded(), -1);
    }

    @Override
    public Tensor b(ScalarType type) {
        Tensor rows = Tensors.as(AdjacentTensors.rows(each(LoraLayer::b)).detach(), type); // (experts · p · out, r)
        Tensor own = rows.view(experts(), places(), outputs(), rank());
        Tensor b = Tensors.zeros(Tensors.deviceOf(rows), type, experts(), linears, outputs(), places(), padded());
        for (int place = 0; place < places(); place++) {
            block(b, place).narrow(2, 0, rank()).copy_(own.select(1, place));
        }
        return b.view(experts(), linears * outputs(), places() * padded());
    }

    /** The part of B, (experts, n, out, p, r), with which a linear takes its own numbers, (experts, out, r). */
    private Tensor block(Tensor b, int place) {
        return b.select(1, adapted.get(place)).select(2, place);
    }

    @Override
    public @Nullable ExpertAddition forKernels() {
        try (TensorScope scope = new TensorScope()) {
            boolean adjacent = places() == linears
                    && AdjacentTensors.view(each(LoraLayer::a)).isPresent()
                    && AdjacentTensors.view(each(LoraLayer::b)).isPresent();
            if (!adjacent) {
                return null;
            }
        }
        long ofLinear = outputs() * rank();
        ExpertAddition addition = new ExpertAddition(
                layers.get(0).a(),
                layers.get(0).b(),
                Math.toIntExact(places() * rank()),
                Math.toIntExact(rank()),
                new ExpertAddition.Strides(linears * ofLinear, ofLinear, rank(), 1),
                (float) scale());
        return addition.isAligned() ? addition : null;
    }

    @Override
    public void addGradients(Tensor ofA, Tensor ofB) {
        try (TensorScope scope = new TensorScope()) {
            Tensor a = ofA.view(experts(), places(), padded(), -1).narrow(2, 0, rank());
            add(a.reshape(experts() * places() * rank(), -1), LoraLayer::a);
            Tensor b = ofB.view(experts(), linears, outputs(), places(), padded());
            Tensor own = torch.empty(
                    new long[] {experts(), places(), outputs(), rank()}, b.options(), new MemoryFormatOptional());
            for (int place = 0; place < places(); place++) {
                own.select(1, place).copy_(block(b, place).narrow(2, 0, rank()));
            }
            add(own.view(-1, rank()), LoraLayer::b);
        }
    }

    /** Adds to the gradients of factors that lie behind one another, where a training has them so, in one operation. */
    private void add(Tensor rows, Function<LoraLayer, Tensor> factor) {
        List<Tensor> gradients = each(layer -> Gradients.of(factor.apply(layer)));
        Optional<Tensor> together = AdjacentTensors.view(gradients);
        if (together.isPresent()) {
            together.get().add_(rows);
            return;
        }
        long row = 0;
        for (Tensor gradient : gradients) {
            gradient.add_(rows.narrow(0, row, gradient.size(0)));
            row += gradient.size(0);
        }
    }
}
