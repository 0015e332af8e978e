package dev.finetune4j.core.kernel;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Matrix-vector products (GEMV) with weights of one form, of up to {@link #maxRows} vectors at a time. Equal kernels can take
 * their weights together. On a GPU that is one launch, which allocates nothing and may therefore be captured, in
 * {@link dev.finetune4j.core.kernel.cuda.CudaGraph#captureOverlapping} too: what it reads ahead are weights. Thread-safe.
 *
 * @param <W> the form of the weights
 */
public interface GemvKernel<W> {
    /** So many vectors of an input every kernel takes. */
    int MAX_ROWS = 8;

    /** The most weights of one launch. */
    int MAX_WEIGHTS = 3;

    /** The most vectors of an input that this kernel takes; at least {@link #MAX_ROWS}. */
    default int maxRows() {
        return MAX_ROWS;
    }

    /**
     * {@code y = x Wᵀ + b} for weights side by side, with the low-rank addition of each.
     *
     * @param x shape (rows, in), contiguous
     * @param rows at most {@link #maxRows}
     * @param weights at most {@link #MAX_WEIGHTS}, all of this kernel
     * @param low what {@link #launchLowRank} made of x; null when there is no addition
     * @param y shape (rows, sum of the outputs), contiguous
     * @param add whether the products are added to what y holds
     */
    void launch(Tensor x, int rows, List<GemvWeight<W>> weights, @Nullable Tensor low, Tensor y, boolean add);

    /**
     * {@code y = act(x Gᵀ) · (x Uᵀ)}, biases and low-rank additions included.
     *
     * @param x shape (rows, in), contiguous
     * @param low as for {@link #launch}, gate first
     * @param y shape (rows, out), contiguous
     */
    void launchGated(
            Tensor x,
            int rows,
            Activation activation,
            GemvWeight<W> gate,
            GemvWeight<W> up,
            @Nullable Tensor low,
            Tensor y);

    /**
     * The down projections {@code scale · A x} of all additions.
     *
     * @param x shape (rows, in), contiguous
     * @param weights one of them at least with an addition
     * @param low float32: for each weight with an addition shape (rows, rank), one behind the other
     */
    void launchLowRank(Tensor x, int rows, List<GemvWeight<W>> weights, Tensor low);

    /**
     * The norm of x, and the down projections of all additions of it, in one launch.
     *
     * @param x shape (rows, in), contiguous
     * @param y gets the norm, shape (rows, in)
     * @param weights one of them at least with an addition
     * @param low as for {@link #launchLowRank}
     * @return false where the kernel has no such launch; then nothing was done
     */
    default boolean launchLowRankOfNorm(
            Tensor x, int rows, NormSpec norm, Tensor y, List<GemvWeight<W>> weights, Tensor low) {
        return false;
    }

    /**
     * Whether {@link #launchOfNorm} and {@link #launchGatedOfNorm} are there.
     *
     * @param rows of x
     * @param in numbers of a row
     */
    default boolean takesNorm(int rows, int in, NormSpec norm) {
        return false;
    }

    /**
     * {@code y = norm(x) Wᵀ + b} for weights side by side without additions.
     *
     * @param x shape (rows, in), contiguous
     * @throws UnsupportedOperationException unless {@link #takesNorm}
     */
    default void launchOfNorm(Tensor x, int rows, NormSpec norm, List<GemvWeight<W>> weights, Tensor y) {
        throw new UnsupportedOperationException("the kernel takes no norm");
    }

    /**
     * {@code y = act(norm(x) Gᵀ) · (norm(x) Uᵀ)}, biases included, without additions.
     *
     * @param x shape (rows, in), contiguous
     * @throws UnsupportedOperationException unless {@link #takesNorm}
     */
    default void launchGatedOfNorm(
            Tensor x, int rows, NormSpec norm, Activation activation, GemvWeight<W> gate, GemvWeight<W> up, Tensor y) {
        throw new UnsupportedOperationException("the kernel takes no norm");
    }
}
