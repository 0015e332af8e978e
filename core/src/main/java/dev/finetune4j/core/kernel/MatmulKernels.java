package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Products of matrices by the quickest way that a device has: which GEMM runs is decided here and nowhere else. Libraries for the
 * CPU are slow at the skinny shapes of low-rank factors, which is why our kernels make those too. Both factors are
 * of one type unless something else is said. Nothing records gradients. Thread-safe.
 */
public interface MatmulKernels {
    /**
     * {@code x Wᵀ + b}.
     *
     * @param x shape (…, in)
     * @param weight shape (out, in)
     * @param bias shape (out), or null
     * @return shape (…, out)
     */
    Tensor forward(Tensor x, Tensor weight, @Nullable Tensor bias);

    /**
     * The gradient of the input, {@code dy W}.
     *
     * @param dy shape (…, out)
     * @param weight shape (out, in)
     * @return shape (…, in)
     */
    Tensor backward(Tensor dy, Tensor weight);

    /**
     * {@code y += x Wᵀ}.
     *
     * @param y shape (n, out), each row contiguous
     * @param x shape (n, in)
     * @param weight shape (out, in)
     */
    void addForward(Tensor y, Tensor x, Tensor weight);

    /**
     * {@code dx += dy W}.
     *
     * @param dx shape (n, in)
     * @param dy shape (n, out), each row contiguous
     * @param weight shape (out, in)
     */
    void addBackward(Tensor dx, Tensor dy, Tensor weight);

    /**
     * {@code c = a bᵀ}.
     *
     * @param a shape (n, k)
     * @param b shape (m, k)
     * @param c shape (n, m), each row contiguous
     */
    void gemmNT(Tensor a, Tensor b, Tensor c);

    /**
     * {@code c = a b}.
     *
     * @param a shape (n, k)
     * @param b shape (k, m)
     * @param c shape (n, m), each row contiguous
     */
    void gemmNN(Tensor a, Tensor b, Tensor c);

    /**
     * Adds {@code aᵀ b} to a sum, in float32 where the device does that in one go.
     *
     * @param sum float32, shape (n, m)
     * @param a shape (k, n)
     * @param b shape (k, m)
     */
    void addTN(Tensor sum, Tensor a, Tensor b);

    /**
     * {@code a b} where a has few columns, a new tensor.
     *
     * @param a shape (n, r)
     * @param b shape (r, m)
     */
    Tensor lowRank(Tensor a, Tensor b);

    /**
     * Whether {@link #addTN} sums the gradient of a trained weight in float32 in one go, which makes a linear's own backward
     * pass worth while.
     *
     * @param x the input
     * @param weight shape (out, in)
     */
    boolean sumsGradients(Tensor x, Tensor weight);

    /** Whether one product with factors that lie behind one another is quicker than one product for each of them. */
    boolean prefersStacked();
}
