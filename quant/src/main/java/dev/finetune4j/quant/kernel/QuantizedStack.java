package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.nn.WeightStack;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * 4-bit weights of one shape behind one another in memory, such as those of all experts. Each has the bytes that it has alone, its
 * own offset included; they are quantized one after the other as they are read, so that none is dense longer than that.
 */
final class QuantizedStack {
    /** Bytes that kernels read at a time. */
    private static final int ALIGNMENT = 16;

    private final QuantKernels kernels;
    private final QuantState form;
    private final int count;
    private final Tensor packed;
    private final Tensor scales;
    /** The codes of the scales, their table and the offset of each weight; null without double quantization. */
    private final @Nullable Nested nested;

    private final List<QuantizedTensor> weights = new ArrayList<>();
    private final AtomicInteger open = new AtomicInteger();

    private record Nested(Tensor codes, Tensor map, Tensor offsets) {}

    private QuantizedStack(QuantizedTensor first, int count) {
        ComputeDevice device = first.device();
        this.kernels = first.kernels();
        this.form = first.state();
        this.count = count;
        try (TensorScope scope = new TensorScope()) {
            BlockScales alone = first.scales();
            Tensor outer =
                    alone instanceof BlockScales.Nested found ? found.absmax() : ((BlockScales.Plain) alone).absmax();
            this.packed = Tensors.empty(
                    device, ScalarType.Byte, count * first.packed().numel(), 1);
            this.scales = Tensors.empty(device, ScalarType.Float, count * outer.numel());
            this.nested = alone instanceof BlockScales.Nested found
                    ? new Nested(
                            Tensors.empty(
                                    device,
                                    ScalarType.Byte,
                                    count * found.codes().numel()),
                            found.map().clone(),
                            Tensors.empty(device, ScalarType.Float, count))
                    : null;
            owned().forEach(scope::release);
        }
    }

    private List<Tensor> owned() {
        return nested == null
                ? List.of(packed, scales)
                : List.of(packed, scales, nested.codes(), nested.map(), nested.offsets());
    }

    /** Whether weights like this one begin where kernels can read in a stack. */
    static boolean fits(QuantizedTensor weight) {
        return weight.elements() % (2L * ALIGNMENT) == 0;
    }

    /** Whether a weight is of the form of the others. */
    boolean accepts(QuantizedTensor weight) {
        return weight.settings().equals(settings()) && Arrays.equals(weight.shape(), form.shape());
    }

    /** An empty stack for weights like this one. */
    static QuantizedStack like(QuantizedTensor first, int count) {
        return new QuantizedStack(first, count);
    }

    /**
     * Copies a weight behind those that are there.
     *
     * @param weight of the shape and settings of the first; the caller closes it
     * @return the same weight in this stack, which lives until the last of them is closed
     */
    QuantizedTensor add(QuantizedTensor weight) {
        int index = weights.size();
        try (TensorScope scope = new TensorScope()) {
            Tensor ownPacked = part(packed, index);
            ownPacked.copy_(weight.packed());
            BlockScales own;
            if (weight.scales() instanceof BlockScales.Nested alone && nested != null) {
                Tensor codes = part(nested.codes(), index);
                codes.copy_(alone.codes());
                Tensor outer = part(scales, index);
                outer.copy_(alone.absmax());
                part(nested.offsets(), index).fill_(Tensors.scalar(alone.offset()));
                own = new BlockScales.Nested(
                        scope.release(codes),
                        scope.release(nested.map().detach()),
                        scope.release(outer),
                        alone.offset());
            } else {
                Tensor absmax = part(scales, index);
                absmax.copy_(((BlockScales.Plain) weight.scales()).absmax());
                own = new BlockScales.Plain(scope.release(absmax));
            }
            QuantizedTensor added =
                    new QuantizedTensor(kernels, weight.state(), scope.release(ownPacked), own, this, index);
            weights.add(added);
            open.incrementAndGet();
            return added;
        }
    }

    private Tensor part(Tensor whole, int index) {
        long size = whole.size(0) / count;
        return whole.narrow(0, index * size, size);
    }

    /** One of the weights is closed. */
    void release() {
        if (open.decrementAndGet() == 0) {
            owned().forEach(Tensor::close);
        }
    }

    /**
     * All weights as one.
     *
     * @param wanted the weights, in order
     * @param groups how many of equal size they make
     */
    Optional<WeightStack> of(List<QuantizedTensor> wanted, int groups) {
        if (wanted.size() != count) {
            return Optional.empty();
        }
        for (int i = 0; i < count; i++) {
            if (wanted.get(i).stack() != this || wanted.get(i).index() != i) {
                return Optional.empty();
            }
        }
        return Optional.of(new Whole(this, groups));
    }

    /** All weights in groups of so many rows. */
    private record Whole(QuantizedStack stack, int groups) implements WeightStack {
        @Override
        public Tensor dense(ScalarType type) {
            try (TensorScope scope = new TensorScope()) {
                long rows = stack.rows() * stack.count() / groups;
                Tensor out = Tensors.empty(Tensors.deviceOf(stack.packed), type, groups, rows, stack.width());
                stack.kernels.dequantize(stack, out);
                return scope.keep(out);
            }
        }

        @Override
        public @Nullable ExpertGemv gemv(ScalarType type) {
            return stack.kernels.expertGemv(stack, type);
        }
    }

    /** Rows of a weight. */
    long rows() {
        return form.shape()[0];
    }

    /** Length of a row. */
    long width() {
        return form.shape()[1];
    }

    /** How many weights there are. */
    int count() {
        return count;
    }

    /** How many numbers each has. */
    long elements() {
        return form.elements();
    }

    QuantSettings settings() {
        return form.settings();
    }

    /** The weights, in order. */
    List<QuantizedTensor> weights() {
        return weights;
    }

    Tensor packed() {
        return packed;
    }

    /** The scales as they are, or those of the scales. */
    Tensor scales() {
        return scales;
    }

    @Nullable
    Tensor codes() {
        return nested == null ? null : nested.codes();
    }

    @Nullable
    Tensor map() {
        return nested == null ? null : nested.map();
    }

    @Nullable
    Tensor offsets() {
        return nested == null ? null : nested.offsets();
    }
}
