package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;

/** The products of several linears with the same vectors, biases and adapters included. */
public interface RowProducts {
    /** Numbers of a row of the products. */
    int out();

    /** Numbers of a row of the down projections that the caller has room for; 0 without any. */
    int rank();

    /** The most rows. */
    default int maxRows() {
        return Integer.MAX_VALUE;
    }

    /** How many products there are; 1 where they can be had side by side only. */
    default int linears() {
        return 1;
    }

    /**
     * {@code y = x Wᵀ + b} of all linears, side by side.
     *
     * @param x shape (rows, in), contiguous
     * @param low working memory, float32, at least rows · {@link #rank()} numbers
     * @param y shape (rows, {@link #out()}), contiguous
     * @param add whether the products are added to what y holds
     */
    default void run(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
        lowRank(x, rows, low);
        runBehind(x, rows, low, y, add);
    }

    /** Whether the products can be added to what y holds. */
    default boolean adds() {
        return true;
    }

    /** Brings what was made of an adapter up to date. */
    default void refresh() {}

    /** The down projections of additions that {@link #rank} counts, with which {@link #run} begins. */
    void lowRank(Tensor x, int rows, Tensor low);

    /**
     * The norm of x and the down projections of it, where there are any and one launch makes both.
     *
     * @param y gets the norm, shape (rows, in)
     * @return whether it was done
     */
    default boolean lowRankOfNorm(Tensor x, int rows, NormSpec norm, Tensor y, Tensor low) {
        return false;
    }

    /** {@link #run} behind {@link #lowRank}. */
    void runBehind(Tensor x, int rows, Tensor low, Tensor y, boolean add);

    /**
     * {@code y = act(first) · second} of two linears, behind {@link #lowRank}.
     *
     * @param y shape (rows, out of each), contiguous
     * @throws IllegalStateException if there are not two {@link #linears}
     */
    default void runGatedBehind(Tensor x, int rows, Activation activation, Tensor low, Tensor y) {
        throw new IllegalStateException("the products lie side by side");
    }

    /** Whether {@link #runOfNorm}, and of two {@link #linears} {@link #runGatedOfNorm}, make the norm of so many rows themselves. */
    default boolean takesNorm(int rows, NormSpec norm) {
        return false;
    }

    /**
     * {@code y = norm(x) Wᵀ + b} of all linears, side by side.
     *
     * @param x shape (rows, in), contiguous
     * @param y shape (rows, {@link #out()}), contiguous
     * @throws UnsupportedOperationException unless {@link #takesNorm}
     */
    default void runOfNorm(Tensor x, int rows, NormSpec norm, Tensor y) {
        throw new UnsupportedOperationException("the products take no norm");
    }

    /**
     * {@code y = act(first) · second} of two linears of the norm of x.
     *
     * @param x shape (rows, in), contiguous
     * @param y shape (rows, out of each), contiguous
     * @throws UnsupportedOperationException unless {@link #takesNorm}
     */
    default void runGatedOfNorm(Tensor x, int rows, NormSpec norm, Activation activation, Tensor y) {
        throw new UnsupportedOperationException("the products take no norm");
    }
}
