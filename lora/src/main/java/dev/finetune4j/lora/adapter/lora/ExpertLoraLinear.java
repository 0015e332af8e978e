package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.kernel.CpuGemvKernel;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.WeightStack;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdaptedLinear;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** A linear of one expert with its part of the low-rank factors of all. It owns neither the base nor the factors. */
final class ExpertLoraLinear extends AdaptedLinear {
    private final ExpertsLoraLayer layer;
    private final int index;
    private final int expert;
    private final long start;

    /** @param index among the linears of the layer */
    ExpertLoraLinear(Linear base, ExpertsLoraLayer layer, int index) {
        super(base);
        this.layer = layer;
        this.index = index;
        int ofExpert = layer.stack().linears().size() / layer.stack().experts();
        this.expert = index / ofExpert;
        this.start = index % ofExpert * base.outFeatures();
    }

    private Tensor a(ScalarType type) {
        return layer.a(expert, type);
    }

    private Tensor b(ScalarType type) {
        return layer.b(expert, start, outFeatures(), type);
    }

    @Override
    public Tensor forward(Tensor x) {
        ScalarType type = Tensors.typeOf(x);
        Tensor low = torch.linear(x, a(type)).mul(new Scalar(layer.scale())); // (…, r)
        return base.forward(x).add(torch.linear(low, b(type)));
    }

    /** Where single experts are multiplied by; others take the stack. */
    @Override
    public @Nullable GemvWeight<?> gemvWeight(ScalarType type) {
        GemvWeight<?> weight = base.gemvWeight(type);
        return weight == null ? null : CpuGemvKernel.plus(weight, (x, bias, y, add) -> addTo(x, y));
    }

    /**
     * {@code y += s · (x Aᵀ) Bᵀ}.
     *
     * @param x shape (rows, in)
     * @param y shape (rows, out)
     */
    private void addTo(Tensor x, Tensor y) {
        try (TensorScope scope = new TensorScope()) {
            Tensor a = a(ScalarType.Float).detach();
            Tensor b = b(ScalarType.Float).detach().contiguous();
            CpuGemvKernel.addLowRank(new GemvWeight.LowRank(a, b, (float) layer.scale()), x, y);
        }
    }

    @Override
    public Tensor denseWeight() {
        Tensor product =
                torch.matmul(b(ScalarType.Float).detach(), a(ScalarType.Float).detach());
        return base.denseWeight().add_(product, new Scalar(layer.scale()));
    }

    @Override
    public Optional<WeightStack> stackedWith(List<Linear> linears, int groups) {
        List<Linear> bases = new ArrayList<>();
        for (Linear linear : linears) {
            if (!(linear instanceof ExpertLoraLinear other)
                    || !other.layer.equals(layer)
                    || other.index != bases.size()) {
                return Optional.empty();
            }
            bases.add(other.base);
        }
        if (bases.size() != layer.stack().linears().size()
                || groups != layer.stack().experts()) {
            return Optional.empty();
        }
        return bases.get(0)
                .stackedWith(bases, groups)
                .filter(stack -> stack.addition() == null)
                .map(stack -> new AdaptedStack(stack, layer));
    }
}
