package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Matrix-vector products (GEMV) with those weights of a stack that a router has chosen for each row, and what an adapter adds to
 * them; on a GPU a launch or two, which read on the device which ones they are and may be captured. Borrows the weights. Thread-safe.
 */
public interface ExpertGemv {
    /** Numbers of a row and expert that the products with A of an addition take in {@code low}; 0 without one. */
    int rank();

    /** The same weights with an addition; null where it cannot be. */
    default @Nullable ExpertGemv with(ExpertAddition addition) {
        return null;
    }

    /**
     * {@code y = act(x Gᵀ) · (x Uᵀ)} with gate and up of each expert of a row, which follow each other in the stack.
     *
     * @param x shape (rows, in), contiguous
     * @param chosen int32, shape (rows, k)
     * @param low working memory, float32, at least rows · k · {@link #rank()} numbers
     * @param y shape (rows · k, out), contiguous
     */
    void launchGated(Tensor x, Tensor chosen, Activation activation, Tensor low, Tensor y);

    /**
     * {@code y = factor · Σ share · (x Dᵀ)} over the experts of a row.
     *
     * @param x shape (rows · k, in), contiguous
     * @param choice of the rows
     * @param low working memory, float32, at least rows · k · {@link #rank()} numbers
     * @param y shape (rows, out), contiguous
     * @param add whether the sums are added to what y holds
     */
    void launchCombined(Tensor x, Choice choice, double factor, Tensor low, Tensor y, boolean add);

    /**
     * The experts of some rows.
     *
     * @param chosen int32, shape (rows, k)
     * @param shares of each in the result, float32, shape (rows, k)
     */
    record Choice(Tensor chosen, Tensor shares) {}
}
