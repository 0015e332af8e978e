package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Root mean square normalisation of the last dimension, {@code x / sqrt(mean(x²) + ε) · w}
 * (<a href="https://arxiv.org/abs/1910.07467">Zhang and Sennrich 2019</a>). The mean is taken in float32, the scaling by
 * the weight in the precision of {@code x}, as the published models do; those whose weight counts from one,
 * {@code 1 + w}, scale in float32 too. Forward calls may run in several threads at once; closing may not overlap with them.
 */
public final class RmsNorm implements AutoCloseable {
    private static final long[] LAST = {-1};

    private final Tensor weight;
    private final double epsilon;
    private final boolean unitOffset;

    /**
     * @param weight shape (D); owned by this norm from now on
     * @param unitOffset whether the factor is one plus the weight
     */
    public RmsNorm(Tensor weight, double epsilon, boolean unitOffset) {
        this.weight = weight;
        this.epsilon = epsilon;
        this.unitOffset = unitOffset;
    }

    /** The same norm with another weight, which it then owns. */
    public RmsNorm withWeight(Tensor other) {
        return new RmsNorm(other, epsilon, unitOffset);
    }

    /** Normalises (…, D). */
    public Tensor forward(Tensor x) {
        if (FusedKernels.serveNorm(x, weight)) {
            return FusedKernels.rmsNorm(x, weight, epsilon, unitOffset, null).tensor();
        }
        Tensor wide = Tensors.as(x, ScalarType.Float);
        Tensor meanSquare = wide.mul(wide).mean(LAST, true, new ScalarTypeOptional());
        Tensor normalised = wide.mul(meanSquare.add(new Scalar(epsilon)).rsqrt());
        if (unitOffset) {
            Tensor factor = Tensors.as(weight, ScalarType.Float).add(new Scalar(1));
            return Tensors.as(normalised.mul(factor), Tensors.typeOf(x));
        }
        return Tensors.as(normalised, Tensors.typeOf(x)).mul(Tensors.as(weight, Tensors.typeOf(x)));
    }

    /**
     * Normalises (…, D) where {@link FusedKernels#serveNorm} says so.
     *
     * @param skip brings the gradient that goes past the branch that begins here
     */
    Remade forward(Tensor x, ResidualStream.SkipGradient skip) {
        return FusedKernels.rmsNorm(x, weight, epsilon, unitOffset, skip);
    }

    /**
     * The sum of x and a branch, and its norm.
     *
     * @param skip that of the branch, along which x gets its gradient; null for none
     */
    ResidualStream.NormedSum forward(Tensor x, Tensor branch, ResidualStream.@Nullable SkipGradient skip) {
        return FusedKernels.addAndNorm(x, branch, skip, weight, epsilon, unitOffset);
    }

    /** The weight, shape (D). */
    public Tensor weight() {
        return weight;
    }

    /** Frees the weight. Closing twice is fine. */
    @Override
    public void close() {
        weight.close();
    }
}
