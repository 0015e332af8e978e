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
         * @param padded what the same sequences take in rows of their own, side by side
         */
        long length(long needed, long padded);
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
        public long length(long needed, long padded) {
            return (needed + of - 1) / of * of;
        }
    }

    /**
     * To one of few sizes, so that what is made for a size comes again: eight between a power of two and the next, but no
     * closer than {@value #LEAST}. Rows of one power are filled up by 4 % in the mean, and never beyond what the sequences take side
     * by side, for which memory is planned.
     */
    public record FewSizes() implements Rounding {
        private static final int LEAST = 64;
        private static final int SIZES_OF_A_POWER = 8;

        @Override
        public long length(long needed, long padded) {
            long step = Math.max(LEAST, Long.highestOneBit(Math.max(1, needed - 1)) / SIZES_OF_A_POWER);
            return Math.min((needed + step - 1) / step * step, Math.max(LEAST, padded));
        }
    }

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
        boolean packed = layout == Layout.PACKED;
        int longest = examples.stream().mapToInt(EncodedExample::longest).max().orElseThrow();
        int count = examples.stream()
                .mapToInt(example -> example.sequences().size())
                .sum();
        int rows = packed ? 1 : count;
        long length = packed
                ? rounding.length(
                        examples.stream().mapToLong(EncodedExample::tokens).sum(), (long) count * longest)
                : rounding.length(longest, longest);
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
