package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The sequences of a micro-batch and where they lie in its tokens of shape (B, T): each in a row of its own, padded behind
 * its end, or {@linkplain #isPacked packed} behind one another in one row, where sequences of one example may share what they begin
 * with.
 *
 * @param rows B
 * @param length T
 * @param padId id of the positions that belong to no sequence
 * @param sequences in the order in which they lie, those of one example together; at least one
 */
public record Batch(int rows, int length, int padId, List<Sequence> sequences) {
    /** As many as an array can have elements. */
    static final int MAX_POSITIONS = Integer.MAX_VALUE - 8;

    /**
     * A sequence in its place.
     *
     * @param tokens the sequence
     * @param example which example of the batch it belongs to, counted from 0
     * @param start position of its first token that is not shared, counted over the rows one after the other
     * @param shared how many tokens it begins with that have no positions of their own, because they are those of the first
     *     sequence of its example; nothing is predicted there
     */
    public record Sequence(EncodedSequence tokens, int example, int start, int shared) {
        /** @throws IllegalArgumentException if it has no token of its own, or a target among those that are shared */
        public Sequence {
            if (shared < 0 || shared >= tokens.length() || (shared > 0 && shared > tokens.promptPositions())) {
                throw new IllegalArgumentException("a sequence of " + tokens.length() + " tokens, of which "
                        + tokens.promptPositions() + " lie before the first target, cannot share " + shared);
            }
        }

        /** One that shares nothing. */
        public Sequence(EncodedSequence tokens, int example, int start) {
            this(tokens, example, start, 0);
        }

        /** The position behind its last token. */
        public int end() {
            return start + length();
        }

        /** How many positions it has of its own. */
        public int length() {
            return tokens.length() - shared;
        }

        /** Whether all that another one shares is here. */
        private boolean beginsAs(Sequence other) {
            return shared == 0
                    && tokens.length() >= other.shared
                    && Arrays.equals(tokens.inputIds(), 0, other.shared, other.tokens.inputIds(), 0, other.shared);
        }
    }

    /** @throws IllegalArgumentException if a sequence lies over another, over the end of a row or out of order */
    public Batch {
        sequences = List.copyOf(sequences);
        if (rows < 1 || length < 1 || sequences.isEmpty() || (long) rows * length > MAX_POSITIONS) {
            throw new IllegalArgumentException("a batch of " + sequences.size() + " sequences in " + rows + " rows of "
                    + length + " positions is empty or does not fit into an array; use fewer rows");
        }
        int free = 0;
        int example = 0;
        Sequence first = sequences.get(0);
        for (Sequence sequence : sequences) {
            first = sequence.example == first.example ? first : sequence;
            boolean next = sequence.example == example || sequence.example == example + 1;
            if (sequence.start < free || sequence.end() > (sequence.start / length + 1L) * length || !next) {
                throw new IllegalArgumentException("a sequence of example " + sequence.example + " lies at "
                        + sequence.start + " to " + sequence.end() + " of " + rows + " x " + length
                        + " positions, but the one before is of example " + example + " and ends at " + free);
            }
            if (sequence.shared > 0 && (rows > 1 || !first.beginsAs(sequence))) {
                throw new IllegalArgumentException(
                        "a sequence of example " + sequence.example + " shares " + sequence.shared
                                + " tokens, but the first of its example does not begin with them in this row");
            }
            free = sequence.end();
            example = sequence.example;
        }
        if (free > rows * length) {
            throw new IllegalArgumentException(
                    "the last sequence ends at " + free + " of " + rows + " x " + length + " positions");
        }
    }

    /** Whether sequences lie behind one another in a row. */
    public boolean isPacked() {
        return sequences.size() > rows;
    }

    /**
     * The lengths of what lies in the row of a packed batch, in order; what fills up the end counts as a sequence. Their sum
     * is T.
     *
     * @throws IllegalStateException if there are several rows
     */
    public long[] packedLengths() {
        if (rows != 1) {
            throw new IllegalStateException("a batch of " + rows + " rows is padded, not packed");
        }
        int filled = sequences.get(sequences.size() - 1).end();
        long[] lengths = new long[sequences.size() + (filled < length ? 1 : 0)];
        lengths[lengths.length - 1] = (long) length - filled;
        for (int i = 0; i < sequences.size(); i++) {
            lengths[i] = sequences.get(i).length();
        }
        return lengths;
    }

    /** Whether a sequence begins with tokens that have their positions elsewhere. */
    public boolean isShared() {
        return sequences.stream().anyMatch(sequence -> sequence.shared > 0);
    }

    /** How many examples there are. */
    public int examples() {
        return sequences.get(sequences.size() - 1).example + 1;
    }

    /** Ids (B, T), row-major, in an array of the caller's. */
    public long[] inputIds() {
        long[] ids = new long[rows * length];
        Arrays.fill(ids, padId);
        for (Sequence sequence : sequences) {
            copy(sequence, sequence.tokens.inputIds(), ids);
        }
        return ids;
    }

    /** For each position of (B, T) the id to predict or {@link Labels#IGNORE}, in an array of the caller's. */
    public long[] labels() {
        long[] labels = new long[rows * length];
        Arrays.fill(labels, Labels.IGNORE);
        for (Sequence sequence : sequences) {
            copy(sequence, sequence.tokens.labels(), labels);
        }
        return labels;
    }

    /** What each position of (B, T) counts in the loss, in an array of the caller's; null where all count 1. */
    public float @Nullable [] weights() {
        if (sequences.stream().allMatch(sequence -> sequence.tokens.weights() == null)) {
            return null;
        }
        float[] weights = new float[rows * length];
        Arrays.fill(weights, 1);
        for (Sequence sequence : sequences) {
            float[] own = sequence.tokens.weights();
            if (own != null) {
                System.arraycopy(own, sequence.shared, weights, sequence.start, sequence.length());
            }
        }
        return weights;
    }

    private static void copy(Sequence sequence, int[] from, long[] to) {
        for (int i = sequence.shared; i < from.length; i++) {
            to[sequence.start + i - sequence.shared] = from[i];
        }
    }

    /** Positions that have something to predict. */
    public int targetTokens() {
        return sequences.stream()
                .mapToInt(sequence -> sequence.tokens.targetTokens())
                .sum();
    }

    /** What the positions that have something to predict count together. */
    public double targetWeight() {
        return sequences.stream()
                .mapToDouble(sequence -> sequence.tokens.targetWeight())
                .sum();
    }

    /** Tokens of all sequences, without padding; those that several share count for each. */
    public int tokens() {
        return sequences.stream().mapToInt(sequence -> sequence.tokens.length()).sum();
    }
}
