package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Rotary position embedding: rotates each pair of channels of a query or key by an angle that grows with the position
 * (<a href="https://arxiv.org/abs/2104.09864">Su et al. 2021</a>), with the two halves of a head as the pairs, as Hugging
 * Face checkpoints store them.
 *
 * <p>The tables of cosines and sines are made on first use and grown by doubling; where the frequencies depend on the
 * length of the sequence they are made anew when they change. Thread-safe.
 */
public final class RotaryEmbedding implements AutoCloseable {
    /**
     * Cosines and sines for the positions of a forward pass.
     *
     * @param cos shape (T, rotary channels)
     * @param sin shape (T, rotary channels)
     */
    public record Angles(Tensor cos, Tensor sin) {}

    private static final int FIRST_TABLE = 256;

    private final RopeSpec spec;
    private final ComputeDevice device;
    private long tableKey;
    private @Nullable Tensor cos;
    private @Nullable Tensor sin;

    /** @param spec frequencies and how many channels they rotate */
    public RotaryEmbedding(RopeSpec spec, ComputeDevice device) {
        this.spec = spec;
        this.device = device;
    }

    /**
     * The angles of consecutive positions, in the given type; the caller's scope owns them.
     *
     * @param start first position, from 0
     * @param count number of positions, T
     */
    public synchronized Angles angles(long start, long count, ScalarType type) {
        prepare(start + count);
        return new Angles(rows(cos, start, count, type), rows(sin, start, count, type));
    }

    /**
     * The angles of any positions, in the given type; the caller's scope owns them.
     *
     * @param positions each from 0
     */
    public synchronized Angles angles(long[] positions, ScalarType type) {
        prepare(Arrays.stream(positions).max().orElse(0) + 1);
        Tensor index = Tensors.ofLongs(device, positions, positions.length);
        return new Angles(
                Tensors.as(open(cos).index_select(0, index), type),
                Tensors.as(open(sin).index_select(0, index), type));
    }

    private static Tensor rows(@Nullable Tensor table, long start, long count, ScalarType type) {
        return Tensors.as(open(table).narrow(0, start, count), type);
    }

    private static Tensor open(@Nullable Tensor table) {
        if (table == null) {
            throw new IllegalStateException("the rotary tables are closed");
        }
        return table;
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

    private void prepare(long length) {
        long key = spec.tableKey(length);
        if (cos == null || key != tableKey || cos.size(0) < length) {
            long size = cos == null ? FIRST_TABLE : cos.size(0);
            while (size < length) {
                size *= 2;
            }
            fill(Math.toIntExact(size), spec.frequencies(length));
            tableKey = key;
        }
    }

    private void fill(int rows, float[] frequencies) {
        int half = frequencies.length;
        float factor = (float) spec.attentionFactor();
        float[] cosines = new float[rows * 2 * half];
        float[] sines = new float[rows * 2 * half];
        for (int position = 0; position < rows; position++) {
            for (int i = 0; i < half; i++) {
                float angle = position * frequencies[i];
                int at = position * 2 * half + i;
                cosines[at] = (float) Math.cos(angle) * factor;
                cosines[at + half] = cosines[at];
                sines[at] = (float) Math.sin(angle) * factor;
                sines[at + half] = sines[at];
            }
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor newCos = Tensors.ofFloats(device, cosines, rows, 2L * half);
            Tensor newSin = Tensors.ofFloats(device, sines, rows, 2L * half);
            // Only when both exist do they take the old ones' place.
            close();
            cos = scope.release(newCos);
            sin = scope.release(newSin);
        }
    }

    /** Frees the tables. Closing twice is fine. */
    @Override
    public synchronized void close() {
        if (cos != null) {
            cos.close();
            cos = null;
        }
        if (sin != null) {
            sin.close();
            sin = null;
        }
    }
}
