package dev.finetune4j.quant.kernel;

/**
 * The two float32 results that a CUDA GPU rounds unlike plain IEEE 754 arithmetic in reading order, and on which
 * bytes of a checkpoint depend: the fast reciprocal and the mean.
 *
 * <p>Measured on an H100. On a much smaller GPU the mean of more than a million values is added up in another order.
 */
final class CudaRounding {
    private static final int MANTISSA = 0x7fffff;
    private static final int DROPPED_BITS = 13;

    /**
     * Bit m tells that the reciprocal of a number whose fraction starts with the ten bits m, followed by zeros, comes
     * out one float above the nearest.
     */
    private static final long[] ABOVE = {
        0x0001000000160800L, 0x0002030608000000L, 0x0000000002180400L, 0x1000000600021800L,
        0x0003050000000010L, 0x0008000004000000L, 0x0080020203081804L, 0x0a04010200080462L,
        0x0018000880090380L, 0x0008000000000000L, 0x3000801808000d80L, 0x0000000001100000L,
        0x008020a0002e0000L, 0x2000550000000000L, 0x0001000109000000L, 0x0000002018000100L
    };

    /** The same for one float below the nearest. */
    private static final long[] BELOW = {
        0x4000400100004040L, 0xc000000001c02040L, 0x0009000100000080L, 0x0000000028400000L,
        0x0000000080040000L, 0x0000000020000020L, 0x2800000080020000L, 0x0000000006000000L,
        0x0000400000000000L, 0x0000004000000000L, 0x0000000000000000L, 0x0000800000000000L,
        0x0000000000008000L, 0x0000000000000000L, 0x3440000000000000L, 0x0104000000000020L
    };

    private static final int MAX_THREADS = 512;
    private static final int VECTOR = 4;
    private static final int VECTORIZED_FROM = 128;
    private static final int SPLIT_FROM = 256;
    private static final int VALUES_PER_THREAD = 16;
    private static final int RESIDENT_BLOCKS = 132 * 4;

    private CudaRounding() {}

    /**
     * The fast reciprocal of a positive normal number. Exact for the numbers that bfloat16 and float16 can hold; for
     * the others the nearest float, from which the GPU differs by one in about an eighth of the cases.
     */
    static float reciprocal(float value) {
        float nearest = 1f / value;
        int mantissa = Float.floatToRawIntBits(value) & MANTISSA;
        int start = mantissa >>> DROPPED_BITS;
        if (start << DROPPED_BITS != mantissa) {
            return nearest;
        }
        if ((ABOVE[start >> 6] >>> (start & 63) & 1) != 0) {
            return Math.nextUp(nearest);
        }
        return (BELOW[start >> 6] >>> (start & 63) & 1) != 0 ? Math.nextDown(nearest) : nearest;
    }

    /**
     * The mean, added up in the order of libtorch's reduction on a GPU: each thread adds every so-many-th value into
     * four sums, thread blocks halve their sums until one is left, and the total is multiplied by a reciprocal.
     *
     * @param values at least one
     */
    static float mean(float[] values) {
        boolean vectorized = values.length >= VECTORIZED_FROM;
        int width = Math.min(Integer.highestOneBit(vectorized ? values.length / VECTOR : values.length), MAX_THREADS);
        int perThread = ceilDiv(values.length, width);
        int blocks = 1;
        if (perThread >= SPLIT_FROM) {
            int wanted = Math.min(RESIDENT_BLOCKS, ceilDiv(perThread, VALUES_PER_THREAD));
            blocks = Math.max(wanted, ceilDiv(perThread, SPLIT_FROM));
        }
        float[] sums = vectorized ? vectorSums(values, width * blocks) : scalarSums(values, width);
        float[] partial = new float[blocks];
        for (int block = 0; block < blocks; block++) {
            partial[block] = halve(sums, block * width, width);
        }
        float total = partial[0];
        if (blocks > 1) {
            float[] gathered = new float[width];
            for (int block = 0; block < blocks; block++) {
                gathered[block % width] += partial[block];
            }
            total = halve(gathered, 0, width);
        }
        return total * (1f / values.length);
    }

    private static float[] vectorSums(float[] values, int threads) {
        float[] lanes = new float[threads * VECTOR];
        int whole = values.length / VECTOR * VECTOR;
        for (int i = 0; i < whole; i++) {
            lanes[i % lanes.length] += values[i];
        }
        for (int i = whole; i < values.length; i++) {
            lanes[(i - whole) * VECTOR] += values[i];
        }
        float[] sums = new float[threads];
        for (int thread = 0; thread < threads; thread++) {
            int at = thread * VECTOR;
            sums[thread] = lanes[at] + lanes[at + 1] + lanes[at + 2] + lanes[at + 3];
        }
        return sums;
    }

    /** Fewer than 128 values: no thread has more than two. */
    private static float[] scalarSums(float[] values, int threads) {
        float[] sums = new float[threads];
        for (int i = 0; i < values.length; i++) {
            sums[i % threads] += values[i];
        }
        return sums;
    }

    /** Adds the upper half to the lower half until one value is left; within a warp that is a shuffle down. */
    private static float halve(float[] sums, int from, int width) {
        for (int half = width / 2; half > 0; half /= 2) {
            for (int i = 0; i < half; i++) {
                sums[from + i] += sums[from + i + half];
            }
        }
        return sums[from];
    }

    private static int ceilDiv(int dividend, int divisor) {
        return (dividend + divisor - 1) / divisor;
    }
}
