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
    private static final int STEPS_OF_A_POWER = 4;

    /** The product that brings the gradient of x from that of y, both without gaps. */
    GemmShape ofGradient() {
        return new GemmShape(k, n, m, weightStride, m, k, !transposed);
    }

    /**
     * What the choice of a kernel depends on. Gaps between rows hardly change it. The number of rows counts rounded up, by less
     * than a quarter, to one of four for each power of two, so that a training on texts of many lengths tries out few shapes.
     */
    String key() {
        long step = Math.max(1, Long.highestOneBit(n - 1) / STEPS_OF_A_POWER);
        return m + "x" + (n + step - 1) / step * step + "x" + k + (transposed ? "t" : "n");
    }

    /** The key of this number of rows alone, which no {@link #key()} equals. */
    String exactKey() {
        return m + "x=" + n + "x" + k + (transposed ? "t" : "n");
    }

    double operations() {
        return 2.0 * m * n * k;
    }
}
