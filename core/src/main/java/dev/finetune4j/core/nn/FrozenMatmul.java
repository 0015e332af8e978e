package dev.finetune4j.core.nn;

import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * The matmul by a weight W of shape (out, in), forward and backward, added to what is there. Nothing records gradients,
 * and the weight gets none: {@link Linear#frozen} has one where the weight is not trained.
 */
public interface FrozenMatmul {
    /** Rows of the weight. */
    long outFeatures();

    /**
     * {@code y += x Wᵀ}.
     *
     * @param y shape (n, out), each row contiguous
     * @param x shape (n, in)
     */
    void addForward(Tensor y, Tensor x);

    /**
     * {@code dx += dy W}.
     *
     * @param dx shape (n, in)
     * @param dy shape (n, out), each row contiguous
     */
    void addBackward(Tensor dx, Tensor dy);

    /**
     * The matmul by the rows of several weights behind one another; one after the other unless an implementation has a quicker
     * way.
     *
     * @param weights in order, this one first; y and dy of the result are contiguous
     */
    default FrozenMatmul concat(List<FrozenMatmul> weights) {
        return weights.size() == 1 ? this : new ConcatenatedMatmul(weights);
    }
}
