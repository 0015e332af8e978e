package dev.finetune4j.data.source;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Ascending offsets in a file, four bytes each. */
public final class Offsets {
    private static final int BLOCK = 1024;
    private static final long SPAN = 1L << 32;

    private final List<int[]> blocks = new ArrayList<>();
    private long[] bases = new long[16];
    private int size;

    /**
     * Adds one, which is not less than the last.
     *
     * @throws IllegalArgumentException if a thousand rows take more than 4 GiB, or there are more than an array can have
     */
    public void add(long offset) {
        int place = size % BLOCK;
        if (place == 0) {
            if (size == Integer.MAX_VALUE / BLOCK * BLOCK) {
                throw new IllegalArgumentException(
                        "has more than " + size + " rows, the limit of a data set; split it");
            }
            if (blocks.size() == bases.length) {
                bases = Arrays.copyOf(bases, 2 * bases.length);
            }
            bases[blocks.size()] = offset;
            blocks.add(new int[BLOCK]);
        }
        long delta = offset - bases[blocks.size() - 1];
        if (delta >= SPAN) {
            throw new IllegalArgumentException("has " + BLOCK + " rows of more than 4 GiB, the limit; split them");
        }
        blocks.get(blocks.size() - 1)[place] = (int) delta;
        size++;
    }

    /** One of them. */
    public long get(int index) {
        return bases[index / BLOCK] + Integer.toUnsignedLong(blocks.get(index / BLOCK)[index % BLOCK]);
    }

    /** How many there are. */
    public int size() {
        return size;
    }
}
