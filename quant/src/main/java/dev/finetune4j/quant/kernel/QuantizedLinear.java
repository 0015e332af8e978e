package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.nn.DenseMatmul;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.StackedWeights;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A linear whose frozen weight is stored in 4 bit and made dense for the time of each product, forward and backward
 * (<a href="https://arxiv.org/abs/2305.14314">QLoRA, Dettmers et al. 2023</a>, equation 5).
 *
 * <p>It has no trainable parameters, but passes gradients on to its input. Neither the dense weight nor the input is
 * kept for the backward pass.
 */
public final class QuantizedLinear implements Linear {
    private static final long MAX_STACKED_ELEMENTS = 1 << 25;

    private final QuantizedTensor weight;
    private final @Nullable Tensor bias;
    private final @Nullable Tensor dense;
    private final long inFeatures;
    private final long outFeatures;

    /**
     * @param weight shape (out, in); owned by this linear from now on
     * @param bias shape (out), or null; owned by this linear
     * @throws IllegalArgumentException if the weight is not a matrix or the bias does not fit it
     */
    public QuantizedLinear(QuantizedTensor weight, @Nullable Tensor bias) {
        this(weight, bias, null);
    }

    private QuantizedLinear(QuantizedTensor weight, @Nullable Tensor bias, @Nullable Tensor dense) {
        long[] shape = weight.shape();
        if (shape.length != 2) {
            throw new IllegalArgumentException(
                    "the weight of a linear has two dimensions (out, in), but this one has " + shape.length);
        }
        if (bias != null && bias.numel() != shape[0]) {
            throw new IllegalArgumentException(
                    "the bias has " + bias.numel() + " elements, but the weight has " + shape[0] + " rows");
        }
        this.weight = weight;
        this.bias = bias;
        this.dense = dense;
        this.outFeatures = shape[0];
        this.inFeatures = shape[1];
    }

    /**
     * A linear of the same numbers that keeps its weight dense beside the codes: no product waits for it to be unpacked, for
     * as much memory as a linear that was never quantized.
     *
     * @param type in which it computes
     * @return the owner of this linear's weight and bias from now on
     */
    QuantizedLinear keptDense(ScalarType type) {
        try (TensorScope scope = new TensorScope()) {
            return new QuantizedLinear(weight, bias, scope.release(weight.dequantize(type)));
        }
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalArgumentException if the last dimension of {@code x} is not {@link #inFeatures()}
     * @throws IllegalStateException after closing, or when gradients are recorded without an open scope
     */
    @Override
    public Tensor forward(Tensor x) {
        if (x.dim() == 0 || x.size(-1) != inFeatures) {
            throw new IllegalArgumentException("the input's last dimension must be " + inFeatures + ", but is "
                    + (x.dim() == 0 ? "absent" : x.size(-1)));
        }
        return CustomFunction.apply(x, this::product, this::inputGradient);
    }

    private Tensor product(Tensor x) {
        Tensor kept = denseFor(x);
        if (kept == null) {
            return weight.kernels().forward(x, weight, bias);
        }
        return DenseMatmul.forward(x, kept, bias == null ? null : Tensors.as(bias, Tensors.typeOf(x)));
    }

    /** The dense weight if it was kept in the type of x. */
    private @Nullable Tensor denseFor(Tensor x) {
        return dense != null && Tensors.typeOf(dense) == Tensors.typeOf(x) ? dense : null;
    }

    @Override
    public long inFeatures() {
        return inFeatures;
    }

    @Override
    public long outFeatures() {
        return outFeatures;
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalStateException after closing
     */
    @Override
    public Tensor denseWeight() {
        return weight.dequantize(ScalarType.Float);
    }

    @Override
    public Map<String, Tensor> parameters() {
        return Map.of();
    }

    /** The stored weight; it stays this linear's. */
    public QuantizedTensor weight() {
        return weight;
    }

    @Override
    public @Nullable Tensor bias() {
        return bias;
    }

    @Override
    public boolean isFrozen() {
        return true;
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalStateException after closing
     */
    @Override
    public Tensor inputGradient(Tensor gradient) {
        Tensor kept = denseFor(gradient);
        return kept == null ? weight.kernels().backward(gradient, weight) : DenseMatmul.backward(gradient, kept);
    }

    @Override
    public void addProduct(Tensor y, Tensor x) {
        Tensor kept = denseFor(x);
        if (kept != null) {
            DenseMatmul.add(y, x, kept);
        } else {
            weight.kernels().addProduct(y, x, List.of(weight));
        }
    }

    @Override
    public void addInputGradient(Tensor dx, Tensor gradient) {
        Tensor kept = denseFor(gradient);
        if (kept != null) {
            DenseMatmul.addBackward(dx, gradient, kept);
        } else {
            weight.kernels().addInputGradient(dx, gradient, List.of(weight));
        }
    }

    /**
     * {@inheritDoc} Weights that are all in 4 bit go through one product where that pays: large ones fill the device by
     * themselves, and would need much memory for being dense at once.
     */
    @Override
    public StackedWeights stackedWith(List<Linear> linears) {
        List<QuantizedTensor> weights = new ArrayList<>();
        long elements = linears.stream()
                .mapToLong(linear -> linear.inFeatures() * linear.outFeatures())
                .sum();
        if (elements > MAX_STACKED_ELEMENTS) {
            return StackedWeights.oneByOne(linears);
        }
        for (Linear linear : linears) {
            if (!(linear instanceof QuantizedLinear quantized) || quantized.dense != null) {
                return StackedWeights.oneByOne(linears);
            }
            weights.add(quantized.weight);
        }
        return new StackedWeights() {
            @Override
            public void addProduct(Tensor y, Tensor x) {
                weight.kernels().addProduct(y, x, weights);
            }

            @Override
            public void addInputGradient(Tensor dx, Tensor gradient) {
                weight.kernels().addInputGradient(dx, gradient, weights);
            }
        };
    }

    @Override
    public @Nullable GemvWeight<?> gemvWeight(ScalarType type) {
        return weight.kernels().gemvWeight(weight, bias, type);
    }

    @Override
    public void close() {
        weight.close();
        if (bias != null) {
            bias.close();
        }
        if (dense != null) {
            dense.close();
        }
    }
}
