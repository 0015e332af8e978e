package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The element-wise passes between the matrix products of a decoder on one sort of processor, by kernels of our own. All tensors
 * are there and of one type. Thread-safe.
 */
public interface Elementwise {
    /** Whether there are kernels for {@link #gatedForward} and {@link #gatedBackward} of this function. */
    boolean supports(Activation activation);

    /** Whether laying two projections behind one another costs less than the passes that are saved thereby. */
    boolean copiesCheaply();

    /**
     * {@code y = x / sqrt(mean(x²) + ε) · w} by rows.
     *
     * @param x shape (…, width), contiguous
     * @param y as x
     * @param inverse float32, shape (rows): gets the factor of each row
     */
    void rmsForward(Tensor x, Tensor weight, Tensor y, Tensor inverse, float epsilon, boolean unitOffset);

    /**
     * The same of {@code x + branch}.
     *
     * @param branch as x
     * @param sum as x: gets x + branch
     */
    void rmsForwardOfSum(
            Tensor x,
            Tensor branch,
            Tensor sum,
            Tensor weight,
            Tensor y,
            Tensor inverse,
            float epsilon,
            boolean unitOffset);

    /**
     * The gradient of the input.
     *
     * @param past a gradient that is added; null for none
     * @param y gets the output once more, may be the gradient; null when nobody wants it
     */
    void rmsBackward(
            Tensor gradient,
            Tensor x,
            Tensor weight,
            Tensor inverse,
            @Nullable Tensor past,
            Tensor dx,
            @Nullable Tensor y,
            boolean unitOffset);

    /**
     * {@code y = act(gate) · up}.
     *
     * @param both shape (…, 2 · width), contiguous, gate first
     */
    void gatedForward(Activation activation, Tensor both, Tensor y);

    /**
     * The gradients of gate and up take their places.
     *
     * @param y gets the output once more, may be the gradient; null when nobody wants it
     */
    void gatedBackward(Activation activation, Tensor gradient, Tensor both, @Nullable Tensor y);

    /**
     * Turns heads by the angles of their positions.
     *
     * @param x shape (B, heads, T, size) with channels side by side
     * @param y shape (B, T, heads, size), contiguous
     * @param direction 1, or -1 to turn back
     */
    void rope(Tensor x, Tensor y, Tensor cos, Tensor sin, float direction);

    /**
     * The same in place.
     *
     * @param rows shape (B, T, n), contiguous
     * @param heads how many of the heads that a row begins with
     */
    void ropeInPlace(Tensor rows, int heads, Tensor cos, Tensor sin, float direction);
}
