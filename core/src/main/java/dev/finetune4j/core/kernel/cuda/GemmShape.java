package dev.finetune4j.core.kernel.cuda;

/**
 * What a product {@code y = x Wᵀ} or {@code y = x W} looks like in memory.
 *
 * @param m numbers of a row of y
 * @param n rows of x and y
 * @param k numbers of a row of x
 * @param weightStride from a row of the weight to the next, in numbers
 * @param xStride the same of x
 * @param yStride the same of y
 * @param transposed whether the weight has m rows of k numbers rather than k rows of m
 */
record GemmShape(long m, long n, long k, long weightStride, long xStride, long yStride, boolean transposed) {
    private static final int LEAST_FEW_ROWS = 33;
    private static final int FEW_ROWS = 64;

    /** Whether one column of tiles has all rows, and so many of them that a tile keeps a multiprocessor busy. */
    boolean hasFewRows() {
        return n >= LEAST_FEW_ROWS && n <= FEW_ROWS;
    }

    double operations() {
        return 2.0 * m * n * k;
    }
}
