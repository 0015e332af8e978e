package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The targets of a batch on the model's device: the positions that have a label, as indices into the flattened (B · T), and
 * the ids wanted there. Labels are shifted already: the label of a position is the id that follows it.
 */
public final class Targets implements AutoCloseable {
    private final long labels;
    private final Tensor positions;
    private final Tensor ids;
    private final @Nullable Tensor weights;
    private final @Nullable Tensor sequences;
    private final int sequenceCount;

    private Targets(
            long labels,
            Tensor positions,
            Tensor ids,
            @Nullable Tensor weights,
            @Nullable Tensor sequences,
            int sequenceCount) {
        this.labels = labels;
        this.positions = positions;
        this.ids = ids;
        this.weights = weights;
        this.sequences = sequences;
        this.sequenceCount = sequenceCount;
    }

    /**
     * The targets of a batch whose loss is a sum over tokens.
     *
     * @param device where the model is
     * @param labels the id that each position must predict, row-major (B, T); {@link Labels#IGNORE} for none
     * @param multiple the number of positions is filled up to a multiple of this by some that are not learned, so that
     *     batches come in few sizes
     */
    public static Targets of(ComputeDevice device, long[] labels, int multiple) {
        return of(device, labels, null, multiple, null);
    }

    /**
     * The same where not all tokens count alike.
     *
     * @param weights what the loss of each position is multiplied by, row-major (B, T); null where all count 1
     */
    public static Targets of(ComputeDevice device, long[] labels, float @Nullable [] weights, int multiple) {
        return of(device, labels, weights, multiple, null);
    }

    /**
     * The targets of a batch whose loss is a function of whole sequences, {@link SequenceLogProbs}.
     *
     * @param lengths of the sequences that the flattened labels consist of, in order: B times T where sequences are padded
     *     to rows, those of the sequences where a row packs several
     * @throws IllegalArgumentException if the lengths do not add up to the number of labels
     */
    public static Targets ofSequences(ComputeDevice device, long[] labels, int multiple, int... lengths) {
        if (Arrays.stream(lengths).asLongStream().sum() != labels.length) {
            throw new IllegalArgumentException("sequences of the lengths " + Arrays.toString(lengths)
                    + " do not add up to " + labels.length + " labels");
        }
        return of(device, labels, null, multiple, lengths);
    }

    private static Targets of(
            ComputeDevice device, long[] labels, float @Nullable [] weights, int multiple, int @Nullable [] lengths) {
        int wanted = (int)
                Arrays.stream(labels).filter(label -> label != Labels.IGNORE).count();
        int count = (wanted + multiple - 1) / multiple * multiple;
        long[] positions = new long[count];
        long[] ids = new long[count];
        float[] counts = new float[count];
        Arrays.fill(ids, Labels.IGNORE);
        int found = 0;
        for (int i = 0; i < labels.length; i++) {
            if (labels[i] != Labels.IGNORE) {
                positions[found] = i;
                counts[found] = weights == null ? 1 : weights[i];
                ids[found++] = labels[i];
            }
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor where = Tensors.ofLongs(device, positions, count);
            Tensor what = Tensors.ofLongs(device, ids, count);
            Tensor much = weights == null ? null : Tensors.ofFloats(device, counts, count);
            Tensor whose = lengths == null ? null : Tensors.ofLongs(device, sequences(positions, lengths), count);
            return new Targets(
                    labels.length,
                    scope.release(where),
                    scope.release(what),
                    much == null ? null : scope.release(much),
                    whose == null ? null : scope.release(whose),
                    lengths == null ? 0 : lengths.length);
        }
    }

    /** The sequence of each position, of which those that only fill up, at 0, are the first one's. */
    private static long[] sequences(long[] positions, int... lengths) {
        int[] ends = lengths.clone();
        Arrays.parallelPrefix(ends, Integer::sum);
        return Arrays.stream(positions)
                .map(position -> {
                    int after = Arrays.binarySearch(ends, (int) position + 1);
                    // Empty sequences end where the one before them does.
                    while (after > 0 && ends[after - 1] == ends[after]) {
                        after--;
                    }
                    return after < 0 ? -after - 1 : after;
                })
                .toArray();
    }

    /** How many positions there are, those not learned included. */
    public int count() {
        return Math.toIntExact(ids.size(0));
    }

    /** Indices of the positions in the flattened (B · T), int64, shape (count). */
    Tensor positions() {
        return positions;
    }

    /** The ids wanted there, int64, shape (count); {@link Labels#IGNORE} at positions that only fill up. */
    Tensor ids() {
        return ids;
    }

    /** What each position counts in the loss, float32, shape (count); null where all count 1. */
    @Nullable
    Tensor weights() {
        return weights;
    }

    /** Whether positions count differently. */
    public boolean isWeighted() {
        return weights != null;
    }

    /**
     * The sequence of each position, counted from 0, int64, shape (count).
     *
     * @throws IllegalArgumentException if the targets were made without saying which sequences there are
     */
    Tensor sequences() {
        if (sequences == null) {
            throw new IllegalArgumentException(
                    "these targets do not know their sequences; make them by Targets.ofSequences");
        }
        return sequences;
    }

    /** How many sequences there are; 0 where that was not said. */
    public int sequenceCount() {
        return sequenceCount;
    }

    /** The same in memory of its own. */
    public Targets copy() {
        try (TensorScope scope = new TensorScope()) {
            Tensor where = positions.clone();
            Tensor what = ids.clone();
            Tensor much = weights == null ? null : weights.clone();
            Tensor whose = sequences == null ? null : sequences.clone();
            return new Targets(
                    labels,
                    scope.release(where),
                    scope.release(what),
                    much == null ? null : scope.release(much),
                    whose == null ? null : scope.release(whose),
                    sequenceCount);
        }
    }

    /**
     * Takes over the positions, ids and weights of a batch with as many of all.
     *
     * @throws IllegalArgumentException if there are not as many
     */
    public void copyFrom(Targets other) {
        if (other.count() != count()
                || other.labels != labels
                || other.sequenceCount != sequenceCount
                || other.isWeighted() != isWeighted()) {
            throw new IllegalArgumentException("targets of " + other.count() + " of " + other.labels
                    + " positions do not fit into those of " + count() + " of " + labels);
        }
        positions.copy_(other.positions);
        ids.copy_(other.ids);
        if (weights != null && other.weights != null) {
            weights.copy_(other.weights);
        }
        if (sequences != null) {
            sequences.copy_(other.sequences());
        }
    }

    /** @throws IllegalArgumentException if there is not one label for each position of (B, T, D) */
    void requireFit(Tensor hidden) {
        if (labels != hidden.size(0) * hidden.size(1)) {
            throw new IllegalArgumentException(
                    "there are " + labels + " labels for " + hidden.size(0) + " x " + hidden.size(1) + " positions");
        }
    }

    /** Frees the tensors. Closing twice is fine. */
    @Override
    public void close() {
        positions.close();
        ids.close();
        if (weights != null) {
            weights.close();
        }
        if (sequences != null) {
            sequences.close();
        }
    }
}
