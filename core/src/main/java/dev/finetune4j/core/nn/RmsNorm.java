package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.NormSpec;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Root mean square normalisation of the last dimension, {@code x / sqrt(mean(x²) + ε) · w}
 * (<a href="https://arxiv.org/abs/1910.07467">Zhang and Sennrich 2019</a>). The mean is taken in float32, the scaling by
 * the weight in the precision of {@code x}, as the published models do; those whose weight counts from one,
 * {@code 1 + w}, scale in float32 too. Centered it is layer normalisation
 * (<a href="https://arxiv.org/abs/1607.06450">Ba et al. 2016</a>) with a bias or without, all in float32.
 */
public final class RmsNorm implements AutoCloseable {
    private final Tensor weight;
    private final @Nullable Tensor bias;
    private final double epsilon;
    private final boolean unitOffset;
    private final boolean centered;

    /**
     * @param weight shape (D); owned by this norm from now on
     * @param unitOffset whether the factor is one plus the weight
     */
    public RmsNorm(Tensor weight, double epsilon, boolean unitOffset) {
        this(weight, null, epsilon, unitOffset, false);
    }

    /**
     * @param weight shape (D), or (n, D) for n heads with a weight each; owned by this norm from now on
     * @param bias of the weight's shape, or null; owned by this norm. Only one that is centered has one
     * @param unitOffset whether the factor is one plus the weight
     * @param centered whether the mean is taken away first
     */
    public RmsNorm(Tensor weight, @Nullable Tensor bias, double epsilon, boolean unitOffset, boolean centered) {
        this.weight = weight;
        this.bias = bias;
        this.epsilon = epsilon;
        this.unitOffset = unitOffset;
        this.centered = centered;
    }

    /** The same norm with another weight and bias, null where this one has none, which it then owns. */
    public RmsNorm with(Tensor otherWeight, @Nullable Tensor otherBias) {
        return new RmsNorm(otherWeight, otherBias, epsilon, unitOffset, centered);
    }

    /** Normalises (…, D). */
    public Tensor forward(Tensor x) {
        return LayerKernels.of(x).norm(x, this);
    }

    /** What a kernel must know of it. */
    public NormSpec spec() {
        return new NormSpec(weight, bias, epsilon, unitOffset, centered);
    }

    double epsilon() {
        return epsilon;
    }

    /** Whether the factor is one plus the weight. */
    boolean unitOffset() {
        return unitOffset;
    }

    /** Whether the mean is taken away first. */
    boolean centered() {
        return centered;
    }

    /** The weight, shape (D) or (n, D). */
    public Tensor weight() {
        return weight;
    }

    /** What is added after the scaling, of the weight's shape; null for nothing. */
    public @Nullable Tensor bias() {
        return bias;
    }

    /** The tensors that full fine-tuning can train, by the suffix of their Hugging Face name. */
    public Map<String, Tensor> parameters() {
        Map<String, Tensor> parameters = new LinkedHashMap<>();
        parameters.put("weight", weight);
        if (bias != null) {
            parameters.put("bias", bias);
        }
        return parameters;
    }

    /** Frees weight and bias. Closing twice is fine. */
    @Override
    public void close() {
        parameters().values().forEach(Tensor::close);
    }
}
