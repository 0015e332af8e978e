package dev.finetune4j.data.batch;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Data collator: makes one {@link Batch} of some examples.
 *
 * @param padId id of positions that belong to no sequence; no loss and, with causal attention, no result depends on it
 * @param multipleOf the length of a row is rounded up to a multiple of this, which some GPU kernels like; 1 for no rounding
 * @param layout how sequences lie in rows
 */
public record Collator(int padId, int multipleOf, Layout layout) {
    /** How sequences lie in rows. */
    public enum Layout {
        /** Each in a row of its own, all as long as the longest. */
        PADDED,
        /** All behind one another in one row, where attention must keep them apart. */
        PACKED
    }

    /** @throws IllegalArgumentException if the id is negative or the multiple less than 1 */
    public Collator {
        if (padId < 0) {
            throw new IllegalArgumentException("padId is " + padId
                    + ", but it must be an id of the vocabulary; 0 will do if there is no padding token");
        }
        if (multipleOf < 1) {
            throw new IllegalArgumentException("multipleOf is " + multipleOf + ", but must be 1 (no rounding) or more");
        }
        Objects.requireNonNull(layout, "layout");
    }

    /**
     * A collator that pads.
     *
     * @throws IllegalArgumentException if the id is negative or the multiple less than 1
     */
    public Collator(int padId, int multipleOf) {
        this(padId, multipleOf, Layout.PADDED);
    }

    /**
     * Makes a batch of the examples, in their order.
     *
     * @throws IllegalArgumentException if there is no example or the batch is too large for an array
     */
    public Batch collate(List<EncodedExample> examples) {
        if (examples.isEmpty()) {
            throw new IllegalArgumentException("a batch needs at least one example, but got none");
        }
        boolean packed = layout == Layout.PACKED;
        long needed = packed
                ? examples.stream().mapToLong(EncodedExample::tokens).sum()
                : examples.stream().mapToInt(EncodedExample::longest).max().orElseThrow();
        int count = examples.stream()
                .mapToInt(example -> example.sequences().size())
                .sum();
        int rows = packed ? 1 : count;
        long length = (needed + multipleOf - 1) / multipleOf * multipleOf;
        if (length * rows > Batch.MAX_POSITIONS) {
            throw new IllegalArgumentException("a batch of " + rows + " rows of " + length
                    + " positions does not fit into an array; use fewer rows");
        }
        List<Batch.Sequence> sequences = new ArrayList<>(count);
        int start = 0;
        for (int i = 0; i < examples.size(); i++) {
            for (EncodedSequence tokens : examples.get(i).sequences()) {
                sequences.add(new Batch.Sequence(tokens, i, start));
                start += packed ? tokens.length() : (int) length;
            }
        }
        return new Batch(rows, (int) length, padId, sequences);
    }
}
