package dev.finetune4j.data.source;

import java.util.Arrays;

/** Which rows each row group of a Parquet file has. */
final class RowGroups {
    /** The first row of each group, and how many there are in all. */
    private final int[] firsts;

    /**
     * @param sizes how many rows each group has, which may be none
     * @throws ArithmeticException if there are more than 2^31 in all
     */
    RowGroups(long... sizes) {
        firsts = new int[sizes.length + 1];
        for (int i = 0; i < sizes.length; i++) {
            firsts[i + 1] = Math.toIntExact(firsts[i] + sizes[i]);
        }
    }

    int count() {
        return firsts.length - 1;
    }

    int rows() {
        return firsts[count()];
    }

    int first(int group) {
        return firsts[group];
    }

    /** The group of a row. */
    int of(int row) {
        int found = Arrays.binarySearch(firsts, row);
        int group = found >= 0 ? found : -found - 2;
        // Groups without rows begin where the next one does.
        while (firsts[group + 1] == firsts[group]) {
            group++;
        }
        return group;
    }
}
