package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Root mean square normalisation of the last dimension, {@code x / sqrt(mean(x²) + ε) · w}
 * (<a href="https://arxiv.org/abs/1910.07467">Zhang and Sennrich 2019</a>). The mean is taken in float32, the scaling by
 * the weight in the precision of {@code x}, as the published models do. Forward calls may run in several threads at once; closing may not overlap with them.
 */
public final class RmsNorm implements AutoCloseable {
    private static final long[] LAST = {-1};

    private final Tensor weight;
    private final double epsilon;

    /** @param weight shape (D); owned by this norm from now on */
    public RmsNorm(Tensor weight, double epsilon) {
        this.weight = weight;
        this.epsilon = epsilon;
    }

    /** Normalises (…, D). */
    public Tensor forward(Tensor x) {
        Tensor wide = Tensors.as(x, ScalarType.Float);
        Tensor meanSquare = wide.mul(wide).mean(LAST, true, new ScalarTypeOptional());
        Tensor normalised = wide.mul(meanSquare.add(new Scalar(epsilon)).rsqrt());
        return Tensors.as(normalised, Tensors.typeOf(x)).mul(Tensors.as(weight, Tensors.typeOf(x)));
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
