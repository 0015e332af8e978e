package dev.finetune4j.data.batch;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Data collator: makes one {@link Batch} of some examples.
 *
 * @param padId id of positions that belong to no sequence; no loss and, with causal attention, no result depends on it
 * @param rounding how the length of a row is rounded up
 * @param layout how sequences lie in rows
 */
public record Collator(int padId, Rounding rounding, Layout layout) {
    /** How lengths are rounded up. */
    public sealed interface Rounding {
        /**
         * The length of a row.
         *
         * @param needed positions at least
         * @param most positions beyond which it is not rounded up
         */
        long length(long needed, long most);
    }

    /**
     * To a multiple.
     *
     * @param of 1 for no rounding
     */
    public record Multiple(int of) implements Rounding {
        /** @throws IllegalArgumentException if the multiple is less than 1 */
        public Multiple {
            if (of < 1) {
                throw new IllegalArgumentException(
                        "lengths are rounded up to multiples of " + of + ", but it must be 1 (no rounding) or more");
            }
        }

        @Override
        public long length(long needed, long most) {
            return (needed + of - 1) / of * of;
        }
    }

    /**
     * To one of few sizes, so that what is made for a size comes again: thirty-two between a power of two and the next. Rows of
     * one power are filled up by 1 % in the mean.
     *
     * @param least how close two sizes may be
     */
    public record FewSizes(int least) implements Rounding {
        private static final int USUAL_LEAST = 64;
        private static final int SIZES_OF_A_POWER = 32;

        /** Sizes of packed rows. */
        public FewSizes() {
            this(USUAL_LEAST);
        }

        /** @throws IllegalArgumentException if the sizes may be closer than 1 */
        public FewSizes {
            if (least < 1) {
                throw new IllegalArgumentException("sizes are " + least + " apart at least, but it must be 1 or more");
            }
        }

        @Override
        public long length(long needed, long most) {
            long step = Math.max(least, Long.highestOneBit(Math.max(1, needed - 1)) / SIZES_OF_A_POWER);
            return Math.min((needed + step - 1) / step * step, Math.max(least, most));
        }
    }

    /** How sequences lie in rows. */
    public enum Layout {
        /** Each in a row of its own, all as long as the longest. */
        PADDED,
        /** All behind one another in one row, where attention must keep them apart. */
        PACKED,
        /** The same, and the prompt that the sequences of an example have in common stands there once. */
        SHARED;

        private boolean isOneRow() {
            return this != PADDED;
        }
    }

    /** @throws IllegalArgumentException if the id is negative or the multiple less than 1 */
    public Collator {
        if (padId < 0) {
            throw new IllegalArgumentException("padId is " + padId
                    + ", but it must be an id of the vocabulary; 0 will do if there is no padding token");
        }
        Objects.requireNonNull(rounding, "rounding");
        Objects.requireNonNull(layout, "layout");
    }

    /**
     * A collator that pads to a multiple.
     *
     * @throws IllegalArgumentException if the id is negative or the multiple less than 1
     */
    public Collator(int padId, int multipleOf) {
        this(padId, new Multiple(multipleOf), Layout.PADDED);
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
        int rows = rows(examples);
        long length = length(examples);
        if (length * rows > Batch.MAX_POSITIONS) {
            throw new IllegalArgumentException("a batch of " + rows + " rows of " + length
                    + " positions does not fit into an array; use fewer rows");
        }
        List<Batch.Sequence> sequences = new ArrayList<>();
        int start = 0;
        for (int i = 0; i < examples.size(); i++) {
            EncodedExample example = examples.get(i);
            for (int k = 0; k < example.sequences().size(); k++) {
                Batch.Sequence sequence = new Batch.Sequence(example.sequences().get(k), i, start, shared(example, k));
                sequences.add(sequence);
                start += layout.isOneRow() ? sequence.length() : (int) length;
            }
        }
        return new Batch(rows, (int) length, padId, sequences);
    }

    /** How many positions the batch of some examples has, B · T. */
    public long positions(List<EncodedExample> examples) {
        return rows(examples) * length(examples);
    }

    private int shared(EncodedExample example, int sequence) {
        return layout == Layout.SHARED ? example.shared(sequence) : 0;
    }

    private int rows(List<EncodedExample> examples) {
        return layout.isOneRow() ? 1 : sequences(examples);
    }

    private static int sequences(List<EncodedExample> examples) {
        return examples.stream().mapToInt(example -> example.sequences().size()).sum();
    }

    /** A packed row is never longer than the same sequences are together in rows of their own. */
    private long length(List<EncodedExample> examples) {
        long longest =
                examples.stream().mapToLong(EncodedExample::longest).max().orElseThrow();
        if (layout == Layout.PADDED) {
            return rounding.length(longest, Long.MAX_VALUE);
        }
        long together = examples.stream()
                .mapToLong(example -> example.positions(layout))
                .sum();
        return rounding.length(together, longest * sequences(examples));
    }
}
