package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.SequenceAttention;
import dev.finetune4j.core.kernel.SharedKeys;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Where the sequences of a packed row lie, for attention that never looks from one at another and does no work for what it
 * would not see. In bfloat16 on a GPU that is one call of an attention with lengths that vary
 * (<a href="https://arxiv.org/abs/2205.14135">Dao et al. 2022</a>), which reads the places from the device, so that a captured
 * CUDA graph serves any other lengths that are copied there; elsewhere attention goes through the sequences one by one.
 *
 * @param starts first position of each sequence and the end of the last, int32, shape (n + 1)
 * @param positions of the tokens in their own sequences, int64, shape (T)
 * @param totals of each token the length of its sequence, what that begins with included, int64, shape (T)
 * @param lengths of what lies in the row of each sequence; their sum is T, and some may be 0
 * @param shared where sequences begin with tokens of others, such as the prompt of two answers; null where none does
 */
public record PackedSequences(
        Tensor starts,
        Tensor positions,
        Tensor totals,
        long[] lengths,
        @Nullable SharedKeys shared) {
    /** Sequences of these lengths; the caller's scope owns the tensors. */
    public static PackedSequences of(ComputeDevice device, long... lengths) {
        return of(device, lengths, Collections.nCopies(lengths.length, SharedKeys.Prefix.NONE), null);
    }

    /**
     * Sequences that begin with tokens of others; the caller's scope owns the tensors.
     *
     * @param lengths of what lies in the row of each
     * @param prefixes of each
     * @param room for how many tokens of prefixes, of all sequences together
     * @throws IllegalArgumentException if the prefixes have more
     */
    public static PackedSequences sharing(
            ComputeDevice device, long[] lengths, List<SharedKeys.Prefix> prefixes, int room) {
        return of(device, lengths, prefixes, SharedKeys.of(device, lengths, prefixes, room));
    }

    private static PackedSequences of(
            ComputeDevice device, long[] lengths, List<SharedKeys.Prefix> prefixes, @Nullable SharedKeys shared) {
        long[] starts = new long[lengths.length + 1];
        for (int i = 0; i < lengths.length; i++) {
            starts[i + 1] = starts[i] + lengths[i];
        }
        long[] positions = new long[Math.toIntExact(starts[lengths.length])];
        long[] totals = new long[positions.length];
        for (int i = 0; i < lengths.length; i++) {
            Arrays.fill(
                    totals,
                    (int) starts[i],
                    (int) starts[i + 1],
                    prefixes.get(i).length() + lengths[i]);
            for (long at = starts[i]; at < starts[i + 1]; at++) {
                positions[(int) at] = prefixes.get(i).length() + at - starts[i];
            }
        }
        return new PackedSequences(
                Tensors.ofLongs(device, starts, starts.length).to(ScalarType.Int),
                Tensors.ofLongs(device, positions, positions.length),
                Tensors.ofLongs(device, totals, totals.length),
                lengths.clone(),
                shared);
    }

    /**
     * Whether attention takes the whole row at once, so that its launches do not depend on the lengths.
     *
     * @param type of queries, keys and values
     */
    public static boolean isOneCall(ComputeDevice device, ScalarType type, Attention.Shape shape) {
        return DeviceKernels.of(device)
                .attention(shape.spec(0), type)
                .map(SequenceAttention::readsStarts)
                .orElse(false);
    }

    /**
     * Whether attention lets sequences begin with tokens of others.
     *
     * @param type of queries, keys and values
     */
    public static boolean areShared(ComputeDevice device, ScalarType type, Attention.Shape shape) {
        return DeviceKernels.of(device)
                .attention(shape.spec(0), type)
                .map(SequenceAttention::readsSharedKeys)
                .orElse(true);
    }

    /** The same in memory of its own; the caller's scope owns the tensors. */
    public PackedSequences copy() {
        return new PackedSequences(
                starts.clone(),
                positions.clone(),
                totals.clone(),
                lengths.clone(),
                shared == null ? null : shared.copy());
    }

    /** What of it lies on the device. */
    public List<Tensor> tensors() {
        List<Tensor> all = new ArrayList<>(List.of(starts, positions, totals));
        if (shared != null) {
            all.addAll(shared.tensors());
        }
        return all;
    }

    /** What a sequence begins with that lies elsewhere. */
    SharedKeys.Prefix prefix(int sequence) {
        return shared == null ? SharedKeys.Prefix.NONE : shared.prefixes().get(sequence);
    }

    /** Length of the sequence that has tokens at a place of the row, what it begins with included. */
    long lengthAt(long place) {
        int sequence = 0;
        long end = lengths[0];
        while (end <= place) {
            end += lengths[++sequence];
        }
        return prefix(sequence).length() + lengths[sequence];
    }

    /** T. */
    public long total() {
        return positions.size(0);
    }

    /** Length of the longest sequence, what it begins with included. */
    public long longest() {
        return IntStream.range(0, lengths.length)
                .mapToLong(i -> prefix(i).length() + lengths[i])
                .max()
                .orElse(0);
    }
}
