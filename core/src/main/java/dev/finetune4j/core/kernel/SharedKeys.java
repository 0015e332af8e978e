package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Keys and values of a packed row of which some sequences begin with tokens that lie in others, such as two answers behind one
 * prompt that stands there once: the keys of each sequence side by side, those of such a prefix once more for each that begins with
 * it. Its tensors may be overwritten by those of another row with as many positions, sequences and keys.
 *
 * @param starts first key of each sequence and the end of the last, int32, shape (n + 1)
 * @param positions of the keys in the row, int64, shape (K)
 * @param own the key that each position is for the sequence in which it lies, and 0 at the end, int64, shape (T + 1)
 * @param copies the keys that stand for a position once more, int64, shape (K - T)
 * @param copied these positions; T where a copy only fills up
 * @param prefixes what each sequence begins with; they are read on the host alone
 */
public record SharedKeys(
        Tensor starts, Tensor positions, Tensor own, Tensor copies, Tensor copied, List<Prefix> prefixes) {
    /**
     * Tokens of the row that a sequence begins with, though they lie elsewhere.
     *
     * @param start position of the first
     * @param length how many; 0 for none
     */
    public record Prefix(long start, long length) {
        /** That of a sequence that lies in one piece. */
        public static final Prefix NONE = new Prefix(0, 0);
    }

    /**
     * Those of a row; the caller's scope owns the tensors.
     *
     * @param lengths of what lies in the row of each sequence
     * @param prefixes of each sequence
     * @param room for how many keys that stand for a position once more
     * @throws IllegalArgumentException if there are more
     */
    public static SharedKeys of(ComputeDevice device, long[] lengths, List<Prefix> prefixes, int room) {
        int total = Math.toIntExact(Arrays.stream(lengths).sum());
        long[] starts = new long[lengths.length + 1];
        long[] positions = new long[total + room];
        long[] own = new long[total + 1];
        long[] copies = new long[room];
        long[] copied = new long[room];
        Arrays.fill(copied, total);
        int keys = 0;
        int found = 0;
        int position = 0;
        for (int i = 0; i < lengths.length; i++) {
            Prefix prefix = prefixes.get(i);
            if (found + prefix.length() > room) {
                throw new IllegalArgumentException(
                        "there is room for " + room + " keys that several sequences share, but there are more");
            }
            for (int k = 0; k < prefix.length(); k++) {
                copies[found] = keys;
                copied[found++] = prefix.start() + k;
                positions[keys++] = prefix.start() + k;
            }
            for (int k = 0; k < lengths[i]; k++) {
                own[position] = keys;
                positions[keys++] = position++;
            }
            starts[i + 1] = keys;
        }
        return new SharedKeys(
                Tensors.ofLongs(device, starts, starts.length).to(ScalarType.Int),
                Tensors.ofLongs(device, positions, positions.length),
                Tensors.ofLongs(device, own, own.length),
                Tensors.ofLongs(device, copies, room),
                Tensors.ofLongs(device, copied, room),
                List.copyOf(prefixes));
    }

    /** The same in memory of its own; the caller's scope owns the tensors. */
    public SharedKeys copy() {
        return new SharedKeys(starts.clone(), positions.clone(), own.clone(), copies.clone(), copied.clone(), prefixes);
    }

    /** What of it lies on the device. */
    public List<Tensor> tensors() {
        return List.of(starts, positions, own, copies, copied);
    }

    /** Keys or values of the row, (1, T, n, head size), to those of the sequences, (1, K, n, head size). */
    Tensor gather(Tensor row) {
        return row.index_select(1, positions);
    }

    /** Gradients of {@link #gather}'s result, (K, n, head size), to those of the row, (1, T, n, head size). */
    Tensor fold(Tensor gradients) {
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = gradients.flatten(1, 2); // (K, n · head size)
            Tensor sums = flat.index_select(0, own); // (T + 1, …); the last takes what only fills up
            sums.index_add_(0, copied, flat.index_select(0, copies));
            return scope.keep(
                    sums.narrow(0, 0, own.size(0) - 1).view(1, own.size(0) - 1, gradients.size(1), gradients.size(2)));
        }
    }
}
