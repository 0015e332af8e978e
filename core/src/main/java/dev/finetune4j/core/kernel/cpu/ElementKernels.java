package dev.finetune4j.core.kernel.cpu;

import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The element-wise parts of a decoder in float32 and bfloat16, each in one pass over its data, at one level. Tensors are on
 * the CPU and contiguous unless something else is said. Thread-safe.
 */
public final class ElementKernels {
    /** Numbers of a block of moments. */
    private static final int BLOCK = 256;

    private static final int OF_SHAPE = 10;

    private final CpuLevel level;

    ElementKernels(CpuLevel level) {
        this.level = level;
    }

    /** Whether the kernels take numbers of a type. */
    public static boolean supports(ScalarType type) {
        return type == ScalarType.Float || type == ScalarType.BFloat16;
    }

    static int number(ScalarType type) {
        if (!supports(type)) {
            throw new IllegalArgumentException("the kernels take float32 and bfloat16, not " + type);
        }
        return type == ScalarType.Float ? 0 : 1;
    }

    private static long optional(String name, @Nullable Tensor tensor, ScalarType type, long least) {
        return tensor == null ? 0 : FourBitWeight.address(name, tensor, type, least);
    }

    /**
     * {@code y = x / sqrt(mean(x²) + ε) · w} by rows.
     *
     * @param x shape (…, width)
     * @param weight shape (width), in the type of x
     * @param y as large as x and of its type; may be x
     * @param inverse float32, one for each row: the factor of the row; null when nobody wants it
     * @param unitOffset whether the factor is one plus the weight
     */
    public void rmsForward(
            Tensor x, Tensor weight, Tensor y, @Nullable Tensor inverse, float epsilon, boolean unitOffset) {
        ScalarType type = Tensors.typeOf(x);
        long width = weight.numel();
        long rows = rows(x.numel(), width);
        CpuNative.cpu_rms_forward(
                level.number,
                TorchRuntime.threads(),
                number(type),
                FourBitWeight.address("x", x, type, rows * width),
                FourBitWeight.address("weight", weight, type, width),
                FourBitWeight.address("y", y, type, rows * width),
                optional("inverse", inverse, ScalarType.Float, rows),
                rows,
                width,
                epsilon,
                unitOffset);
    }

    private static long rows(long numbers, long width) {
        if (width <= 0 || numbers % width != 0) {
            throw new IllegalArgumentException(numbers + " numbers do not make rows of " + width);
        }
        return numbers / width;
    }

    /**
     * The gradient of the input of {@link #rmsForward}.
     *
     * @param gradient of the output, as large as x
     * @param past a gradient that is added, as large as x; null for none
     * @param dx gets the gradient, as large as x
     * @param y gets the output once more, as large as x, may be the gradient; null when nobody wants it
     */
    public void rmsBackward(
            Tensor gradient,
            Tensor x,
            Tensor weight,
            Tensor inverse,
            @Nullable Tensor past,
            Tensor dx,
            @Nullable Tensor y,
            boolean unitOffset) {
        ScalarType type = Tensors.typeOf(x);
        long width = weight.numel();
        long rows = rows(x.numel(), width);
        long count = rows * width;
        CpuNative.cpu_rms_backward(
                level.number,
                TorchRuntime.threads(),
                number(type),
                FourBitWeight.address("gradient", gradient, type, count),
                FourBitWeight.address("x", x, type, count),
                FourBitWeight.address("weight", weight, type, width),
                FourBitWeight.address("inverse", inverse, ScalarType.Float, rows),
                optional("past", past, type, count),
                FourBitWeight.address("dx", dx, type, count),
                optional("y", y, type, count),
                rows,
                width,
                unitOffset);
    }

    /**
     * {@code y = x} times 0 or the scale, by elements, as {@code core.nn.Dropout} defines it.
     *
     * @param y as large as x and of its type; may be x
     * @param counter the three upper words of the counter
     * @param seed the key
     * @param threshold elements whose 16 bits are below it, unsigned, are multiplied by 0
     */
    public void dropout(Tensor x, Tensor y, int[] counter, long seed, int threshold, float scale) {
        ScalarType type = Tensors.typeOf(x);
        long count = x.numel();
        CpuNative.cpu_dropout(
                level.number,
                TorchRuntime.threads(),
                number(type),
                FourBitWeight.address("x", x, type, count),
                FourBitWeight.address("y", y, type, count),
                count,
                counter[0],
                counter[1],
                counter[2],
                seed,
                threshold,
                scale);
    }

    /**
     * {@code y = silu(gate) · up}.
     *
     * @param both shape (…, 2 · width), gate first
     * @param y shape (…, width)
     */
    public void swigluForward(Tensor both, Tensor y) {
        ScalarType type = Tensors.typeOf(both);
        long width = both.size(-1) / 2;
        long rows = rows(both.numel(), 2 * width);
        CpuNative.cpu_swiglu_forward(
                level.number,
                TorchRuntime.threads(),
                number(type),
                FourBitWeight.address("both", both, type, 2 * rows * width),
                FourBitWeight.address("y", y, type, rows * width),
                rows,
                width);
    }

    /**
     * The gradients of gate and up take their places.
     *
     * @param gradient of the output, shape (…, width)
     * @param y gets the output once more, may be the gradient; null when nobody wants it
     */
    public void swigluBackward(Tensor gradient, Tensor both, @Nullable Tensor y) {
        ScalarType type = Tensors.typeOf(both);
        long width = both.size(-1) / 2;
        long rows = rows(both.numel(), 2 * width);
        CpuNative.cpu_swiglu_backward(
                level.number,
                TorchRuntime.threads(),
                number(type),
                FourBitWeight.address("gradient", gradient, type, rows * width),
                FourBitWeight.address("both", both, type, 2 * rows * width),
                optional("y", y, type, rows * width),
                rows,
                width);
    }

    /**
     * Turns the pairs (i, i + size / 2) of each head by the angle of its position.
     *
     * @param x shape (B, T, heads, size); the channels of a head lie side by side, heads do not overlap
     * @param y of the same shape, so laid out too; may be x
     * @param cosines shape (T, size), in the type of x
     * @param sines shape (T, size), in the type of x
     * @param direction 1, or -1 to turn back
     */
    public void rope(Tensor x, Tensor y, Tensor cosines, Tensor sines, float direction) {
        ScalarType type = Tensors.typeOf(x);
        long tokens = x.size(1);
        long size = x.size(3);
        long[] shape = new long[OF_SHAPE];
        for (int i = 0; i < 4; i++) {
            shape[i] = x.size(i);
        }
        for (int i = 0; i < 3; i++) {
            shape[4 + i] = x.stride(i);
            shape[7 + i] = y.stride(i);
        }
        boolean fits = isHeads(x) && isHeads(y) && size % 2 == 0 && Tensors.typeOf(y) == type;
        for (int i = 0; i < 4; i++) {
            fits = fits && y.size(i) == x.size(i);
        }
        if (!fits) {
            throw new IllegalArgumentException("heads of x and y must be alike, with channels side by side");
        }
        CpuNative.cpu_rope(
                level.number,
                TorchRuntime.threads(),
                number(type),
                FourBitWeight.address(x),
                FourBitWeight.address(y),
                FourBitWeight.address("cosines", cosines, type, tokens * size),
                FourBitWeight.address("sines", sines, type, tokens * size),
                shape,
                direction);
    }

    private static boolean isHeads(Tensor x) {
        return x.dim() == 4 && x.stride(3) == 1 && x.stride(0) >= 0 && x.stride(1) >= 0 && x.stride(2) >= 0;
    }

    /**
     * Turns logits into their gradients, {@code (softmax - onehot) · scale}.
     *
     * @param logits shape (n, V), written over
     * @param labels int64, shape (n); one below 0 or from V on makes no loss
     * @param losses float32, shape (n): gets the loss of each row, not scaled
     * @param cap bound that a hyperbolic tangent puts on the logits first; 0 for none
     */
    public void crossEntropy(Tensor logits, Tensor labels, Tensor losses, float scale, float cap) {
        ScalarType type = Tensors.typeOf(logits);
        long rows = logits.size(0);
        long width = logits.size(1);
        CpuNative.cpu_cross_entropy(
                level.number,
                TorchRuntime.threads(),
                number(type),
                FourBitWeight.address("logits", logits, type, rows * width),
                FourBitWeight.address("labels", labels, ScalarType.Long, rows),
                FourBitWeight.address("losses", losses, ScalarType.Float, rows),
                scale,
                cap,
                rows,
                width);
    }

    /**
     * The numbers of a step of AdamW.
     *
     * @param factor of the gradients
     * @param keep what weight decay leaves of the values
     * @param rate the learning rate with its bias correction
     * @param root the square root of the second bias correction
     */
    public record Step(float factor, float keep, float beta1, float beta2, float rate, float root, float epsilon) {}

    /**
     * Moves values by a step of AdamW and clears their gradients. All float32, equally long.
     *
     * @param copies bfloat16, follow the values; null for none
     */
    public void adamw(
            Tensor values, Tensor gradients, @Nullable Tensor copies, Tensor mean, Tensor variance, Step step) {
        long count = values.numel();
        CpuNative.cpu_adamw(
                level.number,
                TorchRuntime.threads(),
                FourBitWeight.address("values", values, ScalarType.Float, count),
                FourBitWeight.address("gradients", gradients, ScalarType.Float, count),
                optional("copies", copies, ScalarType.BFloat16, count),
                FourBitWeight.address("means", mean, ScalarType.Float, count),
                FourBitWeight.address("variances", variance, ScalarType.Float, count),
                count,
                step.factor(),
                step.keep(),
                step.beta1(),
                step.beta2(),
                step.rate(),
                step.root(),
                step.epsilon());
    }

    /**
     * Where moments are kept in blocks of at most 256 numbers; all contiguous.
     *
     * @param blocks int64, (n, 3): first value, block of codes or {@code -1} less the first wide number, how many numbers
     * @param codes uint8, (2, m, 256)
     * @param absmax float32, (2, m)
     * @param wide float32, (2, k)
     * @param maps float32, (2, 256)
     * @param limits float32, (2, 255)
     */
    public record Moments(Tensor blocks, Tensor codes, Tensor absmax, Tensor wide, Tensor maps, Tensor limits) {}

    /**
     * Moves values by a step of AdamW whose moments are kept in blocks, and clears their gradients.
     *
     * @param values float32, all that the blocks speak of, as the gradients
     * @param copies bfloat16, follow the values; null for none
     */
    public void adamw8bit(Tensor values, Tensor gradients, @Nullable Tensor copies, Moments moments, Step step) {
        long count = values.numel();
        long blocks = moments.blocks().size(0);
        long coded = moments.absmax().size(1);
        long wide = moments.wide().size(1);
        long codes = FourBitWeight.address("codes", moments.codes(), ScalarType.Byte, 2 * coded * BLOCK);
        long absmax = FourBitWeight.address("absmax", moments.absmax(), ScalarType.Float, 2 * coded);
        long moment = FourBitWeight.address("wide", moments.wide(), ScalarType.Float, 2 * wide);
        CpuNative.cpu_adamw8bit(
                level.number,
                TorchRuntime.threads(),
                FourBitWeight.address("values", values, ScalarType.Float, count),
                FourBitWeight.address("gradients", gradients, ScalarType.Float, count),
                optional("copies", copies, ScalarType.BFloat16, count),
                FourBitWeight.address("blocks", moments.blocks(), ScalarType.Long, 3 * blocks),
                blocks,
                codes,
                codes + coded * BLOCK,
                absmax,
                absmax + coded * Float.BYTES,
                moment,
                moment + wide * Float.BYTES,
                FourBitWeight.address("maps", moments.maps(), ScalarType.Float, 512),
                FourBitWeight.address("limits", moments.limits(), ScalarType.Float, 510),
                step.factor(),
                step.keep(),
                step.beta1(),
                step.beta2(),
                step.rate(),
                step.root(),
                step.epsilon());
    }
}
