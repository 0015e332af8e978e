package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Rotary position embedding: turns each pair of channels of a query or key by an angle that grows with the position
 * (<a href="https://arxiv.org/abs/2104.09864">Su et al. 2021</a>), with the two halves of a head as the pairs, as Hugging
 * Face checkpoints store them.
 *
 * <p>The tables of cosines and sines are made on first use and grown by doubling. Thread-safe.
 */
public final class RotaryEmbedding implements AutoCloseable {
    /**
     * Cosines and sines for consecutive positions.
     *
     * @param cos shape (T, head size)
     * @param sin shape (T, head size)
     */
    public record Angles(Tensor cos, Tensor sin) {}

    private static final int FIRST_TABLE = 256;

    private final int headDim;
    private final float[] inverseFrequencies;
    private final ComputeDevice device;
    private @Nullable Tensor cos;
    private @Nullable Tensor sin;

    /**
     * @param headDim channels of one head, even
     * @param theta base of the frequencies, {@code rope_theta} in config.json
     */
    public RotaryEmbedding(int headDim, double theta, ComputeDevice device) {
        this.headDim = headDim;
        this.device = device;
        this.inverseFrequencies = new float[headDim / 2];
        for (int i = 0; i < inverseFrequencies.length; i++) {
            float exponent = (2f * i) / headDim;
            inverseFrequencies[i] = 1f / (float) Math.pow((float) theta, exponent);
        }
    }

    /**
     * The angles of the positions {@code start … start + count - 1}, in the given type; the caller's scope owns them.
     *
     * @param start first position, from 0
     * @param count number of positions, T
     */
    public synchronized Angles angles(long start, long count, ScalarType type) {
        long needed = start + count;
        if (cos == null || cos.size(0) < needed) {
            grow(needed);
        }
        return new Angles(rows(cos, start, count, type), rows(sin, start, count, type));
    }

    private static Tensor rows(@Nullable Tensor table, long start, long count, ScalarType type) {
        if (table == null) {
            throw new IllegalStateException("the rotary tables are closed");
        }
        return Tensors.as(table.narrow(0, start, count), type);
    }

    /**
     * Turns queries or keys.
     *
     * @param x shape (B, heads, T, head size)
     * @return the same shape
     */
    public static Tensor rotate(Tensor x, Angles angles) {
        long half = x.size(3) / 2;
        Tensor first = x.narrow(3, 0, half);
        Tensor second = x.narrow(3, half, half);
        Tensor crossed = torch.cat(new TensorVector(second.neg(), first), 3);
        return x.mul(angles.cos()).add_(crossed.mul(angles.sin()));
    }

    private void grow(long needed) {
        long size = cos == null ? FIRST_TABLE : cos.size(0);
        while (size < needed) {
            size *= 2;
        }
        int rows = Math.toIntExact(size);
        float[] cosines = new float[rows * headDim];
        float[] sines = new float[rows * headDim];
        int half = headDim / 2;
        for (int position = 0; position < rows; position++) {
            for (int i = 0; i < half; i++) {
                float angle = position * inverseFrequencies[i];
                int at = position * headDim + i;
                cosines[at] = (float) Math.cos(angle);
                cosines[at + half] = cosines[at];
                sines[at] = (float) Math.sin(angle);
                sines[at + half] = sines[at];
            }
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor newCos = Tensors.ofFloats(device, cosines, rows, headDim);
            Tensor newSin = Tensors.ofFloats(device, sines, rows, headDim);
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
