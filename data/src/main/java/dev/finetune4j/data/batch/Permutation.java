package dev.finetune4j.data.batch;

/**
 * An order drawn by chance: a Fisher–Yates shuffle on the
 * <a href="https://doi.org/10.1145/2714064.2660195">SplitMix64</a> generator. Both are written out here, so that a seed
 * gives the same order on every version of Java and of this library.
 */
public final class Permutation {
    private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;

    private long state;

    private Permutation(long state) {
        this.state = state;
    }

    /**
     * The numbers from 0 to size - 1 in an order of their own for each seed and stream.
     *
     * @param stream tells orders of one seed apart, such as the number of the epoch
     */
    public static int[] of(int size, long seed, long stream) {
        Permutation random = new Permutation(mix(seed + GOLDEN_GAMMA) ^ stream * 0xD1B54A32D192ED03L);
        int[] order = identity(size);
        for (int i = size - 1; i > 0; i--) {
            int j = random.below(i + 1);
            int swapped = order[i];
            order[i] = order[j];
            order[j] = swapped;
        }
        return order;
    }

    /** The numbers from 0 to size - 1 in order. */
    public static int[] identity(int size) {
        int[] order = new int[size];
        for (int i = 0; i < size; i++) {
            order[i] = i;
        }
        return order;
    }

    /** The bias is less than bound / 2^32, far below what a shuffle could show. */
    private int below(int bound) {
        state += GOLDEN_GAMMA;
        return (int) (((mix(state) >>> 32) * bound) >>> 32);
    }

    private static long mix(long value) {
        long mixed = (value ^ (value >>> 30)) * 0xBF58476D1CE4E5B9L;
        mixed = (mixed ^ (mixed >>> 27)) * 0x94D049BB133111EBL;
        return mixed ^ (mixed >>> 31);
    }
}
