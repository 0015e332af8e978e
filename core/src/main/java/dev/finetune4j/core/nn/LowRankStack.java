package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.ExpertAddition;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Low-rank additions {@code scale · B A} to the weights of a {@link WeightStack}, one for each group. It owns nothing. */
public interface LowRankStack {
    /** Factor on the products. */
    double scale();

    /** Whether the factors get gradients. */
    boolean isTrained();

    /** Whether the pass in progress drops something of the factors' input, each linear another part. */
    default boolean isDropping() {
        return false;
    }

    /**
     * A in a type, in the caller's scope.
     *
     * @return shape (groups, r, in), contiguous, where r is filled up by zeros to what products of groups take
     */
    Tensor a(ScalarType type);

    /**
     * B in a type, in the caller's scope.
     *
     * @return shape (groups, out, r), contiguous, filled up in the same way
     */
    Tensor b(ScalarType type);

    /** The factors as kernels for few rows take them where they lie; null where these cannot read them. */
    default @Nullable ExpertAddition forKernels() {
        return null;
    }

    /**
     * Adds to the factors' gradients.
     *
     * @param ofA of the shape of {@link #a}
     * @param ofB of the shape of {@link #b}
     */
    void addGradients(Tensor ofA, Tensor ofB);
}
