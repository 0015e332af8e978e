package dev.finetune4j.core.kernel.cpu;

import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The kernels for 4-bit weights, at one level. Thread-safe. */
public final class FourBitKernels {
    /** The most tokens that {@link #gemv} takes. */
    public static final int MAX_ROWS = 32;

    private final CpuLevel level;

    FourBitKernels(CpuLevel level) {
        this.level = level;
    }

    /** The number of a type in {@code finetune4j_cpu.h}; -1 for one that the kernels do not have. */
    private static int number(ScalarType type) {
        return switch (type) {
            case Float -> 0;
            case BFloat16 -> 1;
            case Half -> 2;
            default -> -1;
        };
    }

    private static int requireType(Tensor tensor) {
        int type = number(Tensors.typeOf(tensor));
        if (type < 0) {
            throw new IllegalArgumentException(
                    "the kernels take float32, bfloat16 and float16, not " + Tensors.typeOf(tensor));
        }
        return type;
    }

    /** Whether {@link #decode} writes numbers of a type. */
    public static boolean decodes(ScalarType type) {
        return number(type) >= 0;
    }

    /** Whether {@link #gemv} takes numbers of a type. */
    public static boolean multiplies(ScalarType type) {
        return type == ScalarType.Float || type == ScalarType.BFloat16;
    }

    /**
     * A part of a matrix.
     *
     * @param columns of the whole matrix
     * @param row the first row
     * @param rows how many
     * @param column the first column
     * @param width how many columns
     */
    public record Part(long columns, long row, long rows, long column, long width) {
        private void requireWithin(long elements) {
            boolean within = columns > 0
                    && row >= 0
                    && rows >= 0
                    && column >= 0
                    && width >= 0
                    && column + width <= columns
                    && row + rows <= elements / columns;
            if (!within) {
                throw new IllegalArgumentException(this + " is not within a matrix of " + elements + " weights");
            }
        }
    }

    /**
     * Writes the numbers of a part of a weight: float32 value of the code times float32 scale, rounded once to the type of
     * the output.
     *
     * @param to at least as many numbers as the part has, float32, bfloat16 or float16, contiguous
     */
    public void decode(FourBitWeight weight, Part part, Tensor to) {
        part.requireWithin(weight.elements());
        int type = requireType(to);
        long target = FourBitWeight.address("decoded weights", to, Tensors.typeOf(to), part.rows() * part.width());
        CpuNative.cpu_decode(
                level.number,
                TorchRuntime.threads(),
                weight.packed,
                weight.shift,
                weight.table,
                weight.absmax,
                weight.nested,
                weight.map,
                weight.offset,
                part.columns(),
                part.row(),
                part.rows(),
                part.column(),
                part.width(),
                type,
                target,
                part.width());
    }

    /**
     * The largest magnitude of each block; not a number or infinite where the block holds such a thing.
     *
     * @param numbers float32, bfloat16 or float16, contiguous
     * @param blockSize a power of two from 32
     */
    public float[] absmax(Tensor numbers, int blockSize) {
        int type = requireType(numbers);
        long count = numbers.numel();
        int blocks = blocks(count, blockSize);
        long from = FourBitWeight.address("numbers", numbers, Tensors.typeOf(numbers), count);
        try (FloatPointer found = new FloatPointer(blocks)) {
            CpuNative.cpu_absmax(
                    level.number,
                    TorchRuntime.threads(),
                    type,
                    from,
                    count,
                    Integer.numberOfTrailingZeros(blockSize),
                    found.address());
            float[] result = new float[blocks];
            found.get(result);
            return result;
        }
    }

    private static int blocks(long count, int blockSize) {
        if (blockSize < 32 || Integer.bitCount(blockSize) != 1) {
            throw new IllegalArgumentException("a block has a power of two from 32 of weights, not " + blockSize);
        }
        return Math.toIntExact((count + blockSize - 1) / blockSize);
    }

    /**
     * Writes the codes of numbers.
     *
     * @param numbers as for {@link #absmax}
     * @param factors what each block is multiplied by before it is compared; 0 makes code 0
     * @param limits the 15 rising limits between the intervals
     * @param codes the code of each of the 16 intervals
     * @param packed uint8, at least half as many as there are numbers, contiguous
     */
    public void encode(Tensor numbers, int blockSize, float[] factors, float[] limits, byte[] codes, Tensor packed) {
        int type = requireType(numbers);
        long count = numbers.numel();
        if (factors.length < blocks(count, blockSize) || limits.length != 15 || codes.length != 16) {
            throw new IllegalArgumentException("each block has a factor, there are 15 limits and 16 codes");
        }
        long from = FourBitWeight.address("numbers", numbers, Tensors.typeOf(numbers), count);
        long to = FourBitWeight.address("codes", packed, ScalarType.Byte, (count + 1) / 2);
        try (FloatPointer nativeFactors = new FloatPointer(factors);
                FloatPointer nativeLimits = new FloatPointer(limits);
                BytePointer nativeCodes = new BytePointer(codes)) {
            CpuNative.cpu_encode(
                    level.number,
                    TorchRuntime.threads(),
                    type,
                    from,
                    count,
                    Integer.numberOfTrailingZeros(blockSize),
                    nativeFactors.address(),
                    nativeLimits.address(),
                    nativeCodes.address(),
                    to);
        }
    }

    /**
     * {@code y = x Wᵀ + b} for few vectors x, or that added to y. The weight is read once and never made dense.
     *
     * @param weight of shape (out, in)
     * @param x shape (rows, in), float32 or bfloat16, contiguous
     * @param bias shape (out), in the type of x; null for none
     * @param y shape (rows, out), in the type of x; the numbers of a row lie side by side
     * @param add whether the product is added to what y holds
     */
    public void gemv(FourBitWeight weight, Tensor x, @Nullable Tensor bias, Tensor y, boolean add) {
        ScalarType type = Tensors.typeOf(x);
        int number = requireType(x);
        long rows = x.size(0);
        long in = x.size(1);
        long out = y.size(1);
        boolean fits = multiplies(type)
                && x.dim() == 2
                && GemmKernels.isMatrix(y, type)
                && rows <= MAX_ROWS
                && y.size(0) == rows
                && in > 0
                && in * out == weight.elements();
        if (!fits) {
            throw new IllegalArgumentException("rows of " + in + " " + type + " do not fit to rows of " + out + " "
                    + Tensors.typeOf(y) + " and " + weight.elements() + " weights");
        }
        CpuNative.cpu_gemv_4bit(
                level.number,
                TorchRuntime.threads(),
                weight.packed,
                weight.shift,
                weight.table,
                weight.absmax,
                weight.nested,
                weight.map,
                weight.offset,
                in,
                out,
                number,
                FourBitWeight.address("input", x, type, rows * in),
                rows,
                bias == null ? 0 : FourBitWeight.address("bias", bias, type, out),
                FourBitWeight.address(y),
                y.stride(0),
                add);
    }

    /**
     * {@code y = x Wᵀ + b} for any number of rows of x, or that added to y: panels of the weight are decoded into the
     * processor's cache, and the dense weight is never in memory.
     *
     * @param weight of shape (out, in)
     * @param x shape (rows, in), float32 or bfloat16; the numbers of a row lie side by side
     * @param bias shape (out), of the type of x; null for none
     * @param y shape (rows, out), of the type of x; the numbers of a row lie side by side
     * @param add whether the product is added to what y holds
     */
    public void forward(FourBitWeight weight, Tensor x, @Nullable Tensor bias, Tensor y, boolean add) {
        requireFit(weight, x, y);
        long in = x.size(1);
        long out = y.size(1);
        ScalarType type = Tensors.typeOf(x);
        CpuNative.cpu_forward(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(type),
                weight.packed,
                weight.shift,
                weight.table,
                weight.absmax,
                weight.nested,
                weight.map,
                weight.offset,
                in,
                out,
                FourBitWeight.address(x),
                x.stride(0),
                x.size(0),
                bias == null ? 0 : FourBitWeight.address("bias", bias, type, out),
                FourBitWeight.address(y),
                y.stride(0),
                add);
    }

    /**
     * {@code dx = dy W} for any number of rows, or that added to dx.
     *
     * @param weight of shape (out, in)
     * @param gradient shape (rows, out), float32 or bfloat16; the numbers of a row lie side by side
     * @param dx shape (rows, in), of the type of the gradient; the numbers of a row lie side by side
     * @param add whether the product is added to what dx holds
     */
    public void backward(FourBitWeight weight, Tensor gradient, Tensor dx, boolean add) {
        requireFit(weight, dx, gradient);
        long in = dx.size(1);
        long out = gradient.size(1);
        CpuNative.cpu_backward(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(Tensors.typeOf(dx)),
                weight.packed,
                weight.shift,
                weight.table,
                weight.absmax,
                weight.nested,
                weight.map,
                weight.offset,
                in,
                out,
                FourBitWeight.address(gradient),
                gradient.stride(0),
                gradient.size(0),
                FourBitWeight.address(dx),
                dx.stride(0),
                add);
    }

    private static void requireFit(FourBitWeight weight, Tensor inner, Tensor outer) {
        boolean fits = GemmKernels.supports(inner)
                && GemmKernels.isMatrix(outer, Tensors.typeOf(inner))
                && inner.size(0) == outer.size(0)
                && inner.size(1) * outer.size(1) == weight.elements();
        if (!fits) {
            throw new IllegalArgumentException(
                    "no product of " + Tensors.typeOf(inner) + " and " + Tensors.typeOf(outer) + " in "
                            + inner.dim() + " and " + outer.dim() + " dimensions, " + inner.numel() + " and "
                            + outer.numel() + " numbers, with " + weight.elements() + " weights");
        }
    }
}
