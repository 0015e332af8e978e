package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.nn.FrozenMatmul;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.WeightStack;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A linear whose frozen weight is stored in 4 bit and dequantized for the time of each matmul, forward and backward
 * (<a href="https://arxiv.org/abs/2305.14314">QLoRA, Dettmers et al. 2023</a>, equation 5).
 *
 * <p>It has no trainable parameters, but passes gradients on to its input. Neither the dense weight nor the input is
 * kept for the backward pass.
 */
public final class QuantizedLinear implements Linear {
    private final QuantizedTensor weight;
    private final @Nullable Tensor bias;
    private final long inFeatures;
    private final long outFeatures;

    /**
     * @param weight shape (out, in); owned by this linear from now on
     * @param bias shape (out), or null; owned by this linear
     * @throws IllegalArgumentException if the weight is not a matrix or the bias does not fit it
     */
    public QuantizedLinear(QuantizedTensor weight, @Nullable Tensor bias) {
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
        this.outFeatures = shape[0];
        this.inFeatures = shape[1];
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
        return CustomFunction.apply(x, given -> weight.kernels().forward(given, weight, bias), this::inputGradient);
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
    public Optional<WeightStack> stackedWith(List<Linear> linears, int groups) {
        @Nullable QuantizedStack stack = weight.stack();
        List<QuantizedTensor> weights = new ArrayList<>();
        for (Linear linear : linears) {
            if (stack == null || !(linear instanceof QuantizedLinear quantized) || quantized.bias != null) {
                return Optional.empty();
            }
            weights.add(quantized.weight);
        }
        return stack == null ? Optional.empty() : stack.of(weights, groups);
    }

    @Override
    public FrozenMatmul frozen() {
        return new QuantizedMatmul(List.of(weight));
    }

    /**
     * The gradient of the input, {@code dx = dy W}.
     *
     * @param gradient that of the output, shape (…, out)
     * @return shape (…, in), in the type of the gradient
     * @throws IllegalStateException after closing
     */
    public Tensor inputGradient(Tensor gradient) {
        return weight.kernels().backward(gradient, weight);
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
    }
}
