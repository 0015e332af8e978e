package dev.finetune4j.lora.objective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.Readback;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * What the reference of a training says of its sequences, which never changes: it is computed when a batch comes for the first time and
 * looked up in later epochs, whatever batches its examples come in then. Takes four bytes a sequence and about fifty an example.
 *
 * <p>Belongs to one training and is confined to its thread.
 */
public final class ReferenceScores implements AutoCloseable {
    /** What a checkpoint calls them. */
    private static final String NAME = "reference_scores";

    /** Passes that the host may run ahead of what it reads. */
    private static final int AHEAD = 2;

    /** Index of the first sequence of each example, by that sequence. */
    private final IdentityHashMap<EncodedSequence, Integer> firsts = new IdentityHashMap<>();

    private final float[] scores;
    /** So many of the scores, the first ones, are of what is trained on, which does not change when a training goes on. */
    private final int lasting;

    private final Deque<Pending> pending = new ArrayDeque<>();

    private record Pending(Batch batch, Readback numbers) {}

    /**
     * Knows nothing yet of the sequences of these examples.
     *
     * @param trained examples to train on, whose scores a checkpoint keeps
     * @param heldOut others, of which a training that goes on may have other ones
     */
    public ReferenceScores(List<EncodedExample> trained, List<EncodedExample> heldOut) {
        lasting = add(trained, 0);
        scores = new float[add(heldOut, lasting)];
        Arrays.fill(scores, Float.NaN);
    }

    private int add(List<EncodedExample> examples, int first) {
        int next = first;
        for (EncodedExample example : examples) {
            firsts.put(example.sequences().get(0), next);
            next += example.sequences().size();
        }
        return next;
    }

    /** The scores of a batch's sequences in order, NaN where they are not known. */
    float[] of(Batch batch) {
        settle(AHEAD);
        float[] found = find(batch);
        if (!isKnown(found) && !pending.isEmpty()) {
            settle(0);
            found = find(batch);
        }
        return found;
    }

    /** Whether none of the scores is missing. */
    static boolean isKnown(float... found) {
        for (float score : found) {
            if (Float.isNaN(score)) {
                return false;
            }
        }
        return true;
    }

    private float[] find(Batch batch) {
        int[] places = places(batch);
        float[] found = new float[places.length];
        for (int i = 0; i < found.length; i++) {
            found[i] = places[i] < 0 ? Float.NaN : scores[places[i]];
        }
        return found;
    }

    /** The index of each sequence of a batch; -1 where its example is none of those that are known here. */
    private int[] places(Batch batch) {
        List<Batch.Sequence> sequences = batch.sequences();
        int[] places = new int[sequences.size()];
        for (int i = 0; i < places.length; i++) {
            boolean first =
                    i == 0 || sequences.get(i).example() != sequences.get(i - 1).example();
            if (first) {
                places[i] = firsts.getOrDefault(sequences.get(i).tokens(), -1);
            } else {
                places[i] = places[i - 1] < 0 ? -1 : places[i - 1] + 1;
            }
        }
        return places;
    }

    /** Takes down what a pass has found, once the device has come so far. */
    void remember(Batch batch, Tensor found) {
        pending.add(new Pending(batch, DeviceKernels.of(found).readback(found)));
        settle(AHEAD);
    }

    /** Takes what has arrived, and waits for all but the last passes. */
    private void settle(int ahead) {
        while (pending.size() > ahead) {
            try (Readback numbers = pending.element().numbers()) {
                take(pending.remove().batch(), numbers.get());
            }
        }
    }

    private void take(Batch batch, double... found) {
        int[] places = places(batch);
        for (int i = 0; i < places.length; i++) {
            if (places[i] >= 0) {
                scores[places[i]] = (float) found[i];
            }
        }
    }

    /** Those that a training has, for a checkpoint; none where it has none. */
    static Map<String, Tensor> findings(@Nullable ReferenceScores known) {
        if (known == null) {
            return Map.of();
        }
        known.settle(0);
        try (TensorScope scope = new TensorScope()) {
            return Map.of(
                    NAME,
                    scope.release(Tensors.ofFloats(
                            ComputeDevice.cpu(), Arrays.copyOf(known.scores, known.lasting), known.lasting)));
        }
    }

    /**
     * Takes over what {@link #findings} gave in a training of the same data. What is not there is found anew.
     *
     * @throws IllegalArgumentException if it is of another number of sequences
     */
    static void restore(@Nullable ReferenceScores known, Map<String, Tensor> findings) {
        Tensor saved = findings.get(NAME);
        if (known == null || saved == null) {
            return;
        }
        float[] from = Tensors.toFloats(saved);
        if (from.length > 0 && known.lasting > 0 && from.length != known.lasting) {
            throw new IllegalArgumentException("there are reference scores of " + from.length
                    + " sequences, but the data has " + known.lasting + "; go on with the data of then");
        }
        System.arraycopy(from, 0, known.scores, 0, Math.min(from.length, known.lasting));
    }

    /** Frees what is still on its way. */
    @Override
    public void close() {
        pending.forEach(one -> one.numbers().close());
        pending.clear();
    }
}
