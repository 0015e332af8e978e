package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A root mean square norm, {@code x / sqrt(mean(x²) + ε) · w}, or a layer norm, which takes the mean of x away first and may add a
 * bias. Borrows weight and bias.
 *
 * @param weight shape (D), or (n, D) for n heads with a weight each
 * @param bias of the weight's shape; null for none, as root mean square norms have none
 * @param unitOffset whether the factor is one plus the weight
 * @param centered whether it is a layer norm
 */
public record NormSpec(Tensor weight, @Nullable Tensor bias, double epsilon, boolean unitOffset, boolean centered) {
    private static final long[] LAST = {-1};

    /** A root mean square norm. */
    public NormSpec(Tensor weight, double epsilon, boolean unitOffset) {
        this(weight, null, epsilon, unitOffset, false);
    }

    /** A norm without a bias. */
    public NormSpec(Tensor weight, double epsilon, boolean unitOffset, boolean centered) {
        this(weight, null, epsilon, unitOffset, centered);
    }

    public NormSpec {
        if (bias != null && !centered) {
            throw new IllegalArgumentException("only a layer norm has a bias");
        }
    }

    /** How many numbers are normalised together. */
    public long width() {
        return weight.size(-1);
    }

    /** By libtorch's operations, which it differentiates itself. */
    public Tensor apply(Tensor x) {
        ScalarType type = Tensors.typeOf(x);
        Tensor wide = Tensors.as(x, ScalarType.Float);
        if (centered) {
            wide = wide.sub(wide.mean(LAST, true, new ScalarTypeOptional()));
        }
        Tensor meanSquare = wide.mul(wide).mean(LAST, true, new ScalarTypeOptional());
        Tensor normalised = wide.mul(meanSquare.add(new Scalar(epsilon)).rsqrt());
        if (unitOffset || centered) {
            Tensor factor = Tensors.as(weight, ScalarType.Float);
            Tensor scaled = normalised.mul(unitOffset ? factor.add(new Scalar(1)) : factor);
            return Tensors.as(bias == null ? scaled : scaled.add(Tensors.as(bias, ScalarType.Float)), type);
        }
        return Tensors.as(normalised, type).mul(Tensors.as(weight, type));
    }
}
