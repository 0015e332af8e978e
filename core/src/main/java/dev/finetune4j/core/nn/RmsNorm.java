package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.NormSpec;
import org.bytedeco.pytorch.Tensor;

/**
 * Root mean square normalisation of the last dimension, {@code x / sqrt(mean(x²) + ε) · w}
 * (<a href="https://arxiv.org/abs/1910.07467">Zhang and Sennrich 2019</a>). The mean is taken in float32, the scaling by
 * the weight in the precision of {@code x}, as the published models do; those whose weight counts from one,
 * {@code 1 + w}, scale in float32 too. Centered it is layer normalisation without a bias
 * (<a href="https://arxiv.org/abs/1607.06450">Ba et al. 2016</a>), all in float32.
 */
public final class RmsNorm implements AutoCloseable {
    private final Tensor weight;
    private final double epsilon;
    private final boolean unitOffset;
    private final boolean centered;

    /**
     * @param weight shape (D); owned by this norm from now on
     * @param unitOffset whether the factor is one plus the weight
     */
    public RmsNorm(Tensor weight, double epsilon, boolean unitOffset) {
        this(weight, epsilon, unitOffset, false);
    }

    /**
     * @param weight shape (D), or (n, D) for n heads with a weight each; owned by this norm from now on
     * @param unitOffset whether the factor is one plus the weight
     * @param centered whether the mean is taken away first
     */
    public RmsNorm(Tensor weight, double epsilon, boolean unitOffset, boolean centered) {
        this.weight = weight;
        this.epsilon = epsilon;
        this.unitOffset = unitOffset;
        this.centered = centered;
    }

    /** The same norm with another weight, which it then owns. */
    public RmsNorm withWeight(Tensor other) {
        return new RmsNorm(other, epsilon, unitOffset, centered);
    }

    /** Normalises (…, D). */
    public Tensor forward(Tensor x) {
        return LayerKernels.of(x).norm(x, this);
    }

    /** What a kernel must know of it. */
    public NormSpec spec() {
        return new NormSpec(weight, epsilon, unitOffset, centered);
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

    /** Frees the weight. Closing twice is fine. */
    @Override
    public void close() {
        weight.close();
    }
}
