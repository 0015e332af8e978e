package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.kernel.GroupedMatmul;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Experts whose frozen weights lie in stacks, as one operation for each projection: a product of all rows with the weights of
 * their experts, whatever the numbers of rows, which the host need not know. Nothing dense is kept for the backward pass, which
 * makes 4-bit weights dense once more.
 */
final class GroupedExperts {
    private final Activation activation;
    private final WeightStack gateAndUp;
    private final WeightStack down;

    private GroupedExperts(Activation activation, WeightStack gateAndUp, WeightStack down) {
        this.activation = activation;
        this.gateAndUp = gateAndUp;
        this.down = down;
    }

    /** The experts in this form; null where their weights lie apart or are adapted one by one. */
    static @Nullable GroupedExperts of(List<GatedMlp> experts) {
        List<Linear> inputs = new ArrayList<>();
        List<Linear> outputs = new ArrayList<>();
        for (GatedMlp expert : experts) {
            expert.gateAndUp().linears().forEach(linear -> inputs.add(linear.module()));
            expert.down().linears().forEach(linear -> outputs.add(linear.module()));
        }
        Optional<WeightStack> first = stack(inputs, experts.size());
        Optional<WeightStack> second = stack(outputs, experts.size());
        return first.isPresent() && second.isPresent()
                ? new GroupedExperts(experts.get(0).activation(), first.get(), second.get())
                : null;
    }

    /** Asks the linears of the first expert, of which only some may be adapted. */
    private static Optional<WeightStack> stack(List<Linear> linears, int experts) {
        return linears.subList(0, linears.size() / experts).stream()
                .flatMap(linear -> linear.stackedWith(linears, experts).stream())
                .findFirst();
    }

    /** Whether the pass in progress needs the experts one by one. */
    boolean isOneByOne() {
        return gateAndUp.isOneByOne() || down.isOneByOne();
    }

    /** What multiplies rows of x; empty where the experts are taken one by one. */
    static Optional<GroupedMatmul> kernel(Tensor x) {
        return x.size(-1) % GroupedMatmul.ALIGNED_NUMBERS == 0
                ? DeviceKernels.of(x).grouped(Tensors.typeOf(x))
                : Optional.empty();
    }

    /**
     * The experts' results.
     *
     * @param rows in the order of their experts, shape (rows, D)
     * @param ends how many belong to each expert and those before it, int32
     * @return shape (rows, D)
     */
    Tensor forward(GroupedMatmul kernel, Tensor rows, Tensor ends) {
        Tensor both = product(kernel, gateAndUp, rows, ends); // (rows, 2 · inner), gate first
        HiddenStates gated = LayerKernels.of(rows).gated(activation, both);
        return product(kernel, down, gated.tensor(), ends);
    }

    /** The experts as few rows are multiplied by them; null where there is no such way. */
    MixtureOfExperts.@Nullable Gemv gemv(ScalarType type) {
        ExpertGemv first = gateAndUp.gemv(type);
        ExpertGemv second = down.gemv(type);
        return first == null || second == null ? null : new MixtureOfExperts.Gemv(first, second);
    }

    private static Tensor product(GroupedMatmul kernel, WeightStack weights, Tensor x, Tensor ends) {
        LowRankStack addition = weights.addition();
        if (addition != null) {
            return new AdaptedProduct(kernel, weights, addition).of(x, ends);
        }
        return CustomFunction.apply(
                x,
                (given, saved) -> {
                    saved.keep(ends);
                    return kernel.forward(given, weights.dense(Tensors.typeOf(given)), ends);
                },
                (gradient, saved) -> {
                    Tensor dy = gradient.contiguous();
                    return kernel.backward(dy, weights.dense(Tensors.typeOf(dy)), saved.get(0));
                });
    }
}
