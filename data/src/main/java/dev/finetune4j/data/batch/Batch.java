package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;

/**
 * Examples side by side, filled up on the right to one length. Arrays are row-major (B, T); they are the record's own:
 * they are not copied, so do not change them.
 *
 * @param rows B, the number of examples
 * @param length T, the number of positions of each row
 * @param inputIds ids (B, T), the padding id after the end of an example
 * @param labels for each position the id to predict, or {@link Labels#IGNORE}, as after the end of an example
 * @param targetTokens positions that have something to predict
 * @param tokens positions that are not padding
 */
@SuppressWarnings("ArrayRecordComponent") // compared by nobody, read by the loop that trains
public record Batch(int rows, int length, long[] inputIds, long[] labels, int targetTokens, int tokens) {
    /** @throws IllegalArgumentException if an array has another size than (B, T) */
    public Batch {
        long size = (long) rows * length;
        if (rows < 1 || length < 1 || inputIds.length != size || labels.length != size) {
            throw new IllegalArgumentException(
                    "a batch of " + rows + " rows of " + length + " positions needs arrays of " + size
                            + ", but there are " + inputIds.length + " ids and " + labels.length + " labels");
        }
    }
}
