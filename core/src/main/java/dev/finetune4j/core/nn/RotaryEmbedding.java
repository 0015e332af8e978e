package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.SharedKeys;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;
import java.util.function.LongUnaryOperator;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Rotary position embedding: rotates each pair of channels of a query or key by an angle that grows with the position
 * (<a href="https://arxiv.org/abs/2104.09864">Su et al. 2021</a>), with the two halves of a head as the pairs, as most
 * Hugging Face checkpoints store them, or neighbours.
 *
 * <p>The tables of cosines and sines are made on first use and grown by doubling. A table that has grown stays beside the new
 * one, because captured CUDA graphs read it where it lies; where the frequencies go with every length of a sequence
 * ({@link RopeScaling.Dynamic}) only the last table is kept, and no pass may be captured. Thread-safe.
 */
public final class RotaryEmbedding implements AutoCloseable {
    /**
     * Cosines and sines for the positions of a forward pass.
     *
     * @param cos shape (T, rotary channels), those of the pairs twice, behind one another; (B, 1, T, rotary channels) where those of
     *     rows differ
     * @param sin as cos
     * @param interleaved whether the pairs are neighbours
     */
    public record Angles(Tensor cos, Tensor sin, boolean interleaved) {
        /** Whether all rows have the same. */
        boolean areOfAllRows() {
            return cos.dim() == 2;
        }

        /** How many channels of a head turn. */
        long channels() {
            return cos.size(-1);
        }
    }

    private static final int FIRST_TABLE = 256;

    private final RopeSpec spec;
    private final ComputeDevice device;
    /** The largest table of each key. */
    private final Map<Long, Angles> tables = new HashMap<>();
    /** Those that have grown. */
    private final List<Angles> outgrown = new ArrayList<>();

    private boolean closed;

    /** @param spec frequencies and how many channels they rotate */
    public RotaryEmbedding(RopeSpec spec, ComputeDevice device) {
        this.spec = spec;
        this.device = device;
    }

    /**
     * The angles of consecutive positions at the end of a sequence, in the given type; the caller's scope owns them.
     *
     * @param start first position, from 0
     * @param count number of positions, T
     */
    public Angles angles(long start, long count, ScalarType type) {
        return angles(start, count, start + count, type);
    }

    /**
     * The angles of consecutive positions, in the given type; the caller's scope owns them.
     *
     * @param start first position, from 0
     * @param count number of positions, T
     * @param length of the sequence, at least the end of these
     */
    public synchronized Angles angles(long start, long count, long length, ScalarType type) {
        Angles table = table(length, start + count);
        return new Angles(
                rows(table.cos(), start, count, type), rows(table.sin(), start, count, type), spec.interleaved());
    }

    /**
     * The angles of consecutive positions of several rows, in the given type; the caller's scope owns them.
     *
     * @param start first position, from 0
     * @param count number of positions, T
     * @param lengths of the sequence in each row, or of those in all of them
     */
    public synchronized Angles angles(long start, long count, long[] lengths, ScalarType type) {
        long[] keys = Arrays.stream(lengths).map(spec::tableKey).distinct().toArray();
        if (keys.length == 1) {
            return angles(start, count, lengths[0], type);
        }
        Map<Long, Angles> known = new HashMap<>();
        TensorVector cos = new TensorVector();
        TensorVector sin = new TensorVector();
        for (long length : lengths) {
            Angles row = known.computeIfAbsent(spec.tableKey(length), key -> angles(start, count, length, type));
            cos.push_back(row.cos());
            sin.push_back(row.sin());
        }
        return new Angles(torch.stack(cos).unsqueeze(1), torch.stack(sin).unsqueeze(1), spec.interleaved());
    }

    /**
     * The angles of the positions in a packed row, in the given type, each those of its sequence; the caller's scope owns them. For
     * sequences of one {@link RopeSpec#tableKey} all launches are the same, so that a captured graph serves others of them.
     */
    public synchronized Angles angles(PackedSequences packed, ScalarType type) {
        long longest = packed.longest();
        if (isFixedUpTo(longest)) {
            return selected(table(longest, packed.total()), packed.positions(), type);
        }
        requireLikeBeginnings(packed);
        if (!spec.changesAtOnce()) {
            Angles rows = ofEach(packed);
            return new Angles(Tensors.as(rows.cos(), type), Tensors.as(rows.sin(), type), spec.interleaved());
        }
        Angles near = selected(table(1, packed.total()), packed.positions(), type);
        Angles far = selected(table(longest, packed.total()), packed.positions(), type);
        Tensor isFar = packed.totals().gt(new Scalar(spec.lastLengthOfFirst())).unsqueeze(1); // (T, 1)
        return new Angles(
                torch.where(isFar, far.cos(), near.cos()),
                torch.where(isFar, far.sin(), near.sin()),
                spec.interleaved());
    }

    /** What several sequences begin with stands there once, with the angles that it has in the first of them. */
    private void requireLikeBeginnings(PackedSequences packed) {
        for (int i = 0; i < packed.lengths().length; i++) {
            SharedKeys.Prefix prefix = packed.prefix(i);
            long own = prefix.length() + packed.lengths()[i];
            long other = prefix.length() == 0 ? own : packed.lengthAt(prefix.start());
            if (spec.tableKey(own) != spec.tableKey(other)) {
                throw new IllegalArgumentException("sequences of " + other + " and " + own
                        + " tokens begin with the same ones, but their rotary frequencies differ; pack them without"
                        + " shared beginnings");
            }
        }
    }

    /** @param positions int64, shape (T), each from 0 and below T: a captured graph may be launched for longer sequences */
    private static Angles selected(Angles table, Tensor positions, ScalarType type) {
        return new Angles(
                Tensors.as(table.cos().index_select(0, positions), type),
                Tensors.as(table.sin().index_select(0, positions), type),
                table.interleaved());
    }

    /** A row of sequences whose frequencies differ with each length; the current scope owns it. */
    private Angles ofEach(PackedSequences packed) {
        TensorVector cos = new TensorVector();
        TensorVector sin = new TensorVector();
        for (int i = 0; i < packed.lengths().length; i++) {
            long before = packed.prefix(i).length();
            long length = packed.lengths()[i];
            if (length > 0) {
                // A copy, because only the table of the last length is kept.
                Angles own = table(before + length, before + length);
                cos.push_back(own.cos().narrow(0, before, length).clone());
                sin.push_back(own.sin().narrow(0, before, length).clone());
            }
        }
        return new Angles(torch.cat(cos, 0), torch.cat(sin, 0), spec.interleaved());
    }

    /**
     * The angles that single tokens get which come one after another, in the given type; the caller's scope owns them. A token's
     * are those of the sequence that ends with it, which differ from those of the whole where frequencies change with the length.
     *
     * @param count number of positions, T, from 0
     */
    public synchronized Angles stepAngles(long count, ScalarType type) {
        if (isFixedUpTo(count)) {
            return angles(0, count, type);
        }
        Angles steps = make(Math.toIntExact(count), spec::frequencies, spec::tableKey);
        return new Angles(rows(steps.cos(), 0, count, type), rows(steps.sin(), 0, count, type), spec.interleaved());
    }

    /** Whether all positions of a sequence of that length have the angles that they have in each shorter one. */
    public boolean isFixedUpTo(long length) {
        return spec.tableKey(length) == spec.tableKey(1);
    }

    private static Tensor rows(Tensor table, long start, long count, ScalarType type) {
        return Tensors.as(table.narrow(0, start, count), type);
    }

    /**
     * Applies the rotary embedding to queries or keys.
     *
     * @param x shape (B, heads, T, head size)
     * @return the same shape
     */
    public static Tensor rotate(Tensor x, Angles angles) {
        return LayerKernels.of(x).rotate(x, angles);
    }

    /**
     * @param length of the sequence, which the frequencies may depend on
     * @param rows at least as many positions
     */
    private Angles table(long length, long rows) {
        if (closed) {
            throw new IllegalStateException("the rotary tables are closed");
        }
        long key = spec.tableKey(length);
        Angles known = tables.get(key);
        if (known != null && known.cos().size(0) >= rows) {
            return known;
        }
        long size = known == null ? FIRST_TABLE : known.cos().size(0);
        while (size < rows) {
            size *= 2;
        }
        float[] frequencies = spec.frequencies(length);
        Angles made = released(any -> frequencies, Math.toIntExact(size));
        if (spec.scaling() instanceof RopeScaling.Dynamic) {
            tables.values().forEach(RotaryEmbedding::free);
            tables.clear();
        } else if (known != null) {
            outgrown.add(known);
        }
        tables.put(key, made);
        return made;
    }

    /**
     * A table that the current scope owns.
     *
     * @param frequencies of a sequence of some length, which a row has that ends it
     * @param key equal for lengths with the same frequencies
     */
    private Angles make(int rows, LongFunction<float[]> frequencies, LongUnaryOperator key) {
        int half = spec.channels() / 2;
        float factor = (float) spec.attentionFactor();
        float[] cosines = new float[rows * 2 * half];
        float[] sines = new float[rows * 2 * half];
        float[] row = frequencies.apply(1);
        for (int position = 0; position < rows; position++) {
            if (key.applyAsLong(position + 1) != key.applyAsLong(position)) {
                row = frequencies.apply(position + 1);
            }
            for (int i = 0; i < half; i++) {
                float angle = position * row[i];
                int at = position * 2 * half + i;
                cosines[at] = (float) Math.cos(angle) * factor;
                cosines[at + half] = cosines[at];
                sines[at] = (float) Math.sin(angle) * factor;
                sines[at + half] = sines[at];
            }
        }
        return new Angles(
                Tensors.ofFloats(device, cosines, rows, 2L * half),
                Tensors.ofFloats(device, sines, rows, 2L * half),
                spec.interleaved());
    }

    /** A table that belongs to this embedding. */
    private Angles released(LongFunction<float[]> frequencies, int rows) {
        try (TensorScope scope = new TensorScope()) {
            Angles made = make(rows, frequencies, any -> 0);
            return new Angles(scope.release(made.cos()), scope.release(made.sin()), spec.interleaved());
        }
    }

    private static void free(Angles table) {
        table.cos().close();
        table.sin().close();
    }

    /** Frees the tables. Closing twice is fine. */
    @Override
    public synchronized void close() {
        closed = true;
        tables.values().forEach(RotaryEmbedding::free);
        tables.clear();
        outgrown.forEach(RotaryEmbedding::free);
        outgrown.clear();
    }
}
