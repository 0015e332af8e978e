package dev.finetune4j.core.kernel.cpu;

import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What a decoder does for one token, or a few, besides its norms and its products with 4-bit weights, in float32 and
 * bfloat16 at one level. Tensors are on the CPU and contiguous unless something else is said. Allocates nothing.
 * Thread-safe.
 */
public final class TokenKernels {
    private final CpuLevel level;

    TokenKernels(CpuLevel level) {
        this.level = level;
    }

    /** Whether a matrix's rows are contiguous and do not overlap. */
    private static boolean isMatrix(Tensor y, ScalarType type, long rows, long width) {
        return GemmKernels.isMatrix(y, type) && y.size(0) == rows && y.size(1) == width;
    }

    private static void require(boolean fits, String what, Tensor x, Tensor y) {
        if (!fits) {
            throw new IllegalArgumentException(what + " do not fit together: " + x.size(0) + " rows of " + x.size(1)
                    + " " + Tensors.typeOf(x) + " and " + y.size(0) + " of " + y.size(1) + " " + Tensors.typeOf(y));
        }
    }

    /**
     * {@code y = x Wᵀ + b} for a dense weight, or that added to y. The weight is read once.
     *
     * @param weight shape (out, in)
     * @param x shape (rows, in), of the weight's type
     * @param bias shape (out), of the weight's type; null for none
     * @param y shape (rows, out), of the weight's type; the numbers of a row lie side by side
     */
    public void gemv(Tensor weight, Tensor x, @Nullable Tensor bias, Tensor y, boolean add) {
        ScalarType type = Tensors.typeOf(weight);
        long out = weight.size(0);
        long in = weight.size(1);
        long rows = x.size(0);
        require(in > 0 && x.size(1) == in && isMatrix(y, type, rows, out), "input and output", x, y);
        CpuNative.cpu_gemv(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(type),
                FourBitWeight.address("weight", weight, type, in * out),
                in,
                out,
                FourBitWeight.address("input", x, type, rows * in),
                rows,
                bias == null ? 0 : FourBitWeight.address("bias", bias, type, out),
                FourBitWeight.address(y),
                y.stride(0),
                add);
    }

    /**
     * {@code low = scale · x Aᵀ}.
     *
     * @param a float32, shape (rank, in)
     * @param x shape (rows, in), float32 or bfloat16
     * @param low float32: rows · rank numbers from the given place on are written
     */
    public void lowRank(Tensor a, Tensor x, Tensor low, long place, float scale) {
        ScalarType type = Tensors.typeOf(x);
        long rank = a.size(0);
        long in = a.size(1);
        long rows = x.size(0);
        require(in > 0 && x.size(1) == in && place >= 0, "input and factor", x, a);
        CpuNative.cpu_low_rank(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(type),
                FourBitWeight.address("factor", a, ScalarType.Float, rank * in),
                FourBitWeight.address("input", x, type, rows * in),
                FourBitWeight.address("narrow products", low, ScalarType.Float, place + rows * rank)
                        + Float.BYTES * place,
                rows,
                rank,
                in,
                scale);
    }

    /**
     * {@code y = low Bᵀ}, or that added to y.
     *
     * @param b float32, shape (out, rank)
     * @param low float32: rows · rank numbers from the given place on are read
     * @param y shape (rows, out), float32 or bfloat16; the numbers of a row lie side by side
     */
    public void highRank(Tensor b, Tensor low, long place, Tensor y, boolean add) {
        ScalarType type = Tensors.typeOf(y);
        long out = b.size(0);
        long rank = b.size(1);
        long rows = y.size(0);
        require(rank > 0 && place >= 0 && isMatrix(y, type, rows, out), "factor and output", b, y);
        CpuNative.cpu_high_rank(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(type),
                FourBitWeight.address("factor", b, ScalarType.Float, rank * out),
                FourBitWeight.address("narrow products", low, ScalarType.Float, place + rows * rank)
                        + Float.BYTES * place,
                FourBitWeight.address(y),
                y.stride(0),
                rows,
                rank,
                out,
                add);
    }

    /**
     * How a query's scores are made of its dot products with the keys.
     *
     * @param scale factor on them
     * @param softCap bound that a hyperbolic tangent puts on the scaled ones; 0 for none
     * @param window how many positions a token sees, itself included; 0 for all
     */
    public record Scores(float scale, float softCap, int window) {}

    /** How many float32 numbers of working memory {@link #attend} needs. */
    public static long room(long heads, long size, long capacity) {
        return heads * (capacity + size);
    }

    /**
     * Attention of one token. Its heads are turned, and its keys and values join the cache.
     *
     * @param qkv the heads of queries, keys and values behind one another, written over
     * @param keys shape (1, kv heads, capacity, size), of the type of qkv
     * @param values as keys
     * @param position how many tokens of the cache stand before this one
     * @param cosines shape (positions, rotary channels), of the type of qkv
     * @param sines as cosines
     * @param interleaved whether channels turn with their neighbours, not the first half with the second
     * @param room float32, {@link #room} numbers
     * @param mixed gets the heads, heads · size numbers of the type of qkv
     */
    public void attend(
            Tensor qkv,
            Tensor keys,
            Tensor values,
            long position,
            Tensor cosines,
            Tensor sines,
            boolean interleaved,
            Scores scores,
            Tensor room,
            Tensor mixed) {
        ScalarType type = Tensors.typeOf(qkv);
        long kvHeads = keys.size(1);
        long capacity = keys.size(2);
        long size = keys.size(3);
        long heads = mixed.numel() / size;
        boolean fits = keys.size(0) == 1
                && position >= 0
                && position < capacity
                && kvHeads > 0
                && heads % kvHeads == 0
                && cosines.size(1) % 2 == 0
                && cosines.size(1) <= size;
        require(fits, "heads and their cache", qkv, cosines);
        long rotary = cosines.size(1);
        long angles = Math.multiplyExact(position, rotary);
        long first = scores.window() == 0 ? 0 : Math.max(0, position + 1 - scores.window());
        int bytes = type == ScalarType.Float ? Float.BYTES : Short.BYTES;
        CpuNative.cpu_attend(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(type),
                heads,
                kvHeads,
                size,
                rotary,
                interleaved,
                capacity,
                first,
                position,
                scores.scale(),
                scores.softCap(),
                FourBitWeight.address("heads", qkv, type, (heads + 2 * kvHeads) * size),
                FourBitWeight.address("keys", keys, type, kvHeads * capacity * size),
                FourBitWeight.address("values", values, type, kvHeads * capacity * size),
                FourBitWeight.address("cosines", cosines, type, angles + rotary) + bytes * angles,
                FourBitWeight.address("sines", sines, type, angles + rotary) + bytes * angles,
                FourBitWeight.address("working memory", room, ScalarType.Float, room(heads, size, capacity)),
                FourBitWeight.address("mixed heads", mixed, type, heads * size));
    }
}
