package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.AdjacentTensors;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.kernel.GemvKernel;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.kernel.cuda.CudaPreload;
import dev.finetune4j.core.nn.DenseMatmul;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Quantization on a CUDA GPU by kernels of our own ({@code quant4bit.cu}). A weight is made dense in one launch, its 8-bit
 * scales included, at close to the speed of a copy; products are cuBLAS's on the dense weight, which lives only as long as
 * the product runs. Few rows are multiplied without it (GEMV), by {@link QuantGemvKernel}.
 */
final class CudaQuantKernels implements QuantKernels {
    private static final String SOURCE = "quant4bit.cu";
    private static final int THREADS = 256;
    private static final int WEIGHTS_PER_THREAD = 32;
    private static final int WEIGHTS_PER_STORE = 8;
    private static final int ALIGNED_NUMBERS = 8;
    /** Weights that one launch makes dense. */
    private static final int MAX_TOGETHER = 3;

    private static final Map<ComputeDevice, CudaQuantKernels> OF_DEVICE = new ConcurrentHashMap<>();

    private final ComputeDevice device;
    private final CudaKernel absmax;
    private final CudaKernel pack;
    private final CudaKernel nest;
    private final CudaKernel dequantizeAll;
    private final CudaKernel dequantizeStack;
    private final Map<ScalarType, CudaKernel> dequantize = new EnumMap<>(ScalarType.class);
    private final Map<QuantType, Tensor> tables = new EnumMap<>(QuantType.class);
    private final Map<QuantType, Tensor> limits = new EnumMap<>(QuantType.class);
    private final Map<QuantType, Tensor> codes = new EnumMap<>(QuantType.class);
    private final Tensor nestedLimits;

    /** The kernels of a GPU; they and their tables of a few hundred bytes live as long as the process. */
    static CudaQuantKernels of(ComputeDevice device) {
        return OF_DEVICE.computeIfAbsent(device, CudaQuantKernels::new);
    }

    private CudaQuantKernels(ComputeDevice device) {
        this.device = device;
        // Those for few rows are needed once the model is there.
        CudaPreload.modules(CudaQuantKernels.class, device, "pipelinedgemv.cu", "gemv.cu");
        CudaModule module = CudaModule.of(CudaQuantKernels.class, SOURCE, device);
        absmax = module.kernel("absmax");
        pack = module.kernel("pack");
        nest = module.kernel("nest");
        dequantizeAll = module.kernel("dequantize_all_bf16");
        dequantizeStack = module.kernel("dequantize_stack_bf16");
        dequantize.put(ScalarType.Float, module.kernel("dequantize_f32"));
        dequantize.put(ScalarType.BFloat16, module.kernel("dequantize_bf16"));
        dequantize.put(ScalarType.Half, module.kernel("dequantize_f16"));
        try (TensorScope scope = new TensorScope()) {
            for (QuantType type : QuantType.values()) {
                tables.put(
                        type,
                        scope.release(Tensors.ofFloats(
                                device, FourBitCodebook.of(type).table(), 16)));
                limits.put(
                        type,
                        scope.release(Tensors.ofFloats(
                                device, FourBitCodebook.of(type).thresholds(), 15)));
                long[] wide = Arrays.stream(FourBitCodebook.of(type).intervalCodes())
                        .asLongStream()
                        .toArray();
                codes.put(type, scope.release(Tensors.ofLongs(device, wide, 16).to(ScalarType.Int)));
            }
            nestedLimits = scope.release(
                    Tensors.ofFloats(device, DynamicCodebook.signed().limits(), 255));
        }
    }

    @Override
    public QuantizedTensor quantize(Tensor dense, QuantSettings settings) {
        ScalarType type = Tensors.typeOf(dense);
        if (!QuantState.holds(type) || dense.numel() == 0) {
            throw new IllegalArgumentException("a weight of type " + type + " with " + dense.numel()
                    + " elements cannot be quantized; expected at least one element in float32, bfloat16 or float16");
        }
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor flat = dense.detach().contiguous();
            long n = flat.numel();
            int shift = Integer.numberOfTrailingZeros(settings.blockSize());
            int kind = type == ScalarType.Float ? 0 : type == ScalarType.BFloat16 ? 1 : 2;
            long blocks = (n + settings.blockSize() - 1) / settings.blockSize();
            Tensor scales = Tensors.empty(device, ScalarType.Float, blocks);
            absmax.launch(groups(32 * blocks), THREADS, flat, kind, n, shift, scales, blocks);
            requireFinite(scales, settings.blockSize(), n);
            Tensor packed = Tensors.empty(device, ScalarType.Byte, (n + 1) / 2, 1);
            QuantType code = settings.type();
            pack.launch(
                    groups((n + 1) / 2),
                    THREADS,
                    flat,
                    kind,
                    n,
                    shift,
                    scales,
                    limits.get(code),
                    codes.get(code),
                    packed);
            boolean nested = settings.doubleQuantization();
            float offset = nested ? scales.mean(new ScalarTypeOptional()).item_float() : 0;
            QuantState state = new QuantState(settings, type, dense.shape(), offset);
            // Nothing that can fail comes between leaving the scope and belonging to the weight.
            BlockScales kept = nested ? nested(scope, scales, offset) : new BlockScales.Plain(scope.release(scales));
            return new QuantizedTensor(this, state, scope.release(packed), kept);
        }
    }

    private BlockScales nested(TensorScope scope, Tensor scales, float offset) {
        long n = scales.numel();
        long outerBlocks = (n + DynamicCodebook.BLOCK_SIZE - 1) / DynamicCodebook.BLOCK_SIZE;
        Tensor nestedCodes = Tensors.empty(device, ScalarType.Byte, n);
        Tensor outer = Tensors.empty(device, ScalarType.Float, outerBlocks);
        nest.launch(outerBlocks, DynamicCodebook.BLOCK_SIZE, scales, n, offset, nestedLimits, nestedCodes, outer);
        Tensor map = Tensors.ofFloats(device, DynamicCodebook.signed().table(), 256);
        return new BlockScales.Nested(scope.release(nestedCodes), scope.release(map), scope.release(outer), offset);
    }

    private static void requireFinite(Tensor scales, int blockSize, long elements) {
        if (!scales.isfinite().all().item_bool()) {
            float[] values = Tensors.toFloats(scales);
            for (int i = 0; i < values.length; i++) {
                if (!Float.isFinite(values[i])) {
                    throw new IllegalArgumentException("the weight holds a NaN or an infinity between its elements "
                            + (long) i * blockSize + " and " + Math.min(elements, (i + 1L) * blockSize)
                            + "; such a weight cannot be quantized: replace the file that it came from");
                }
            }
        }
    }

    private static long groups(long threads) {
        return (threads + THREADS - 1) / THREADS;
    }

    @Override
    public void dequantize(QuantizedTensor weight, Tensor out) {
        if (!out.is_contiguous()) {
            throw new IllegalArgumentException("the output must be contiguous; pass a fresh tensor");
        }
        CudaKernel kernel = dequantize.get(Tensors.typeOf(out));
        if (kernel == null) {
            throw new IllegalArgumentException("4-bit weights become float32, bfloat16 or float16, not "
                    + Tensors.typeOf(out) + "; convert afterwards");
        }
        long n = out.numel();
        List<@Nullable Object> arguments = new ArrayList<>();
        arguments.add(weight.packed());
        arguments.add(out);
        arguments.add(n);
        arguments.add(Integer.numberOfTrailingZeros(weight.settings().blockSize()));
        arguments.add(table(weight.settings().type()));
        addScales(arguments, weight);
        kernel.launch(Math.max(1, blocks(n)), THREADS, arguments.toArray());
    }

    @Override
    public @Nullable ExpertGemv expertGemv(QuantizedStack stack, ScalarType type) {
        return QuantExpertGemv.of(this, stack, type);
    }

    @Override
    public void dequantize(QuantizedStack stack, Tensor out) {
        if (Tensors.typeOf(out) != ScalarType.BFloat16) {
            QuantKernels.super.dequantize(stack, out);
            return;
        }
        long n = stack.elements();
        long blocks = blocks(n);
        Tensor codes = stack.codes();
        dequantizeStack.launch(
                blocks * stack.count(),
                THREADS,
                stack.packed(),
                out,
                n,
                Math.toIntExact(blocks),
                Integer.numberOfTrailingZeros(stack.settings().blockSize()),
                table(stack.settings().type()),
                stack.scales(),
                stack.scales().numel() / stack.count(),
                codes,
                codes == null ? 0L : codes.numel() / stack.count(),
                stack.map(),
                stack.offsets());
    }

    private static long blocks(long weights) {
        return (weights + (long) THREADS * WEIGHTS_PER_THREAD - 1) / ((long) THREADS * WEIGHTS_PER_THREAD);
    }

    private static void addScales(List<@Nullable Object> arguments, QuantizedTensor weight) {
        BlockScales scales = weight.scales();
        BlockScales.@Nullable Nested nested = scales instanceof BlockScales.Nested found ? found : null;
        arguments.add(nested == null ? ((BlockScales.Plain) scales).absmax() : nested.absmax());
        arguments.add(nested == null ? null : nested.codes());
        arguments.add(nested == null ? null : nested.map());
        arguments.add(nested == null ? 0f : nested.offset());
    }

    /**
     * Dequantizes weights behind one another in one launch.
     *
     * @param weights at most {@value #MAX_TOGETHER}, quantized alike, each with a multiple of eight numbers
     * @param out bfloat16, contiguous
     */
    private void dequantizeTogether(List<QuantizedTensor> weights, Tensor out) {
        List<@Nullable Object> arguments = new ArrayList<>();
        QuantizedTensor first = weights.get(0);
        arguments.add(out);
        arguments.add(Integer.numberOfTrailingZeros(first.settings().blockSize()));
        arguments.add(table(first.settings().type()));
        long blocks = 0;
        for (int i = 0; i < MAX_TOGETHER; i++) {
            blocks += i < weights.size() ? blocks(weights.get(i).elements()) : 0;
            if (i + 1 < MAX_TOGETHER) {
                arguments.add(Math.toIntExact(blocks));
            }
        }
        for (int i = 0; i < MAX_TOGETHER; i++) {
            QuantizedTensor weight = weights.get(Math.min(i, weights.size() - 1));
            arguments.add(weight.packed());
            arguments.add(weight.elements());
            addScales(arguments, weight);
        }
        dequantizeAll.launch(blocks, THREADS, arguments.toArray());
    }

    @Override
    public Tensor forward(Tensor x, QuantizedTensor weight, @Nullable Tensor bias) {
        try (TensorScope scope = new TensorScope()) {
            ScalarType type = Tensors.typeOf(x);
            long rows = x.numel() / x.size(-1);
            GemvWeight<QuantizedTensor> direct =
                    rows > 0 && rows <= GemvKernel.MAX_ROWS ? gemvWeight(weight, bias, type) : null;
            if (direct != null) {
                return scope.keep(gemv(x, Math.toIntExact(rows), direct));
            }
            Tensor dense = weight.dense(type);
            return scope.keep(new DenseMatmul(dense).forward(x, bias == null ? null : Tensors.as(bias, type)));
        }
    }

    @Override
    public @Nullable GemvWeight<QuantizedTensor> gemvWeight(
            QuantizedTensor weight, @Nullable Tensor bias, ScalarType type) {
        return QuantGemvKernel.weight(this, weight, bias, type);
    }

    private Tensor gemv(Tensor x, int rows, GemvWeight<QuantizedTensor> weight) {
        long[] shape = x.shape();
        shape[shape.length - 1] = weight.out();
        Tensor y = Tensors.empty(device, Tensors.typeOf(x), shape);
        Tensor whole = x.contiguous();
        Tensor aligned = whole.storage_offset() % ALIGNED_NUMBERS == 0 ? whole : whole.clone();
        weight.kernel().launch(aligned, rows, List.of(weight), null, y, false);
        return y;
    }

    ComputeDevice device() {
        return device;
    }

    /** The numbers of the codes, float32, shape (16). */
    Tensor table(QuantType type) {
        return Objects.requireNonNull(tables.get(type));
    }

    @Override
    public Tensor backward(Tensor gradient, QuantizedTensor weight) {
        try (TensorScope scope = new TensorScope()) {
            return scope.keep(new DenseMatmul(weight.dense(Tensors.typeOf(gradient))).backward(gradient));
        }
    }

    @Override
    public void addForward(Tensor y, Tensor x, List<QuantizedTensor> weights) {
        try (TensorScope scope = new TensorScope()) {
            concatenated(weights, Tensors.typeOf(x)).addForward(y, x);
        }
    }

    @Override
    public void addBackward(Tensor dx, Tensor gradient, List<QuantizedTensor> weights) {
        try (TensorScope scope = new TensorScope()) {
            concatenated(weights, Tensors.typeOf(gradient)).addBackward(dx, gradient);
        }
    }

    /** The dense weights in one matrix, so that one matmul serves all. */
    private DenseMatmul concatenated(List<QuantizedTensor> weights, ScalarType type) {
        if (weights.stream().allMatch(weight -> weight.isDense(type))) {
            return new DenseMatmul(AdjacentTensors.rows(
                    weights.stream().map(weight -> weight.dense(type)).toList()));
        }
        if (weights.size() == 1) {
            return new DenseMatmul(weights.get(0).dequantize(type));
        }
        long width = weights.get(0).shape()[1];
        if (weights.stream().anyMatch(weight -> weight.shape()[0] * width % WEIGHTS_PER_STORE != 0)) {
            return new DenseMatmul(torch.cat(
                    new TensorVector(weights.stream()
                            .map(weight -> weight.dequantize(type))
                            .toArray(Tensor[]::new)),
                    0));
        }
        long rows = weights.stream().mapToLong(weight -> weight.shape()[0]).sum();
        Tensor all = Tensors.empty(device, type, rows, width);
        QuantSettings settings = weights.get(0).settings();
        if (type.intern() == ScalarType.BFloat16
                && weights.size() <= MAX_TOGETHER
                && weights.stream().allMatch(weight -> weight.settings().equals(settings))) {
            dequantizeTogether(weights, all);
            return new DenseMatmul(all);
        }
        long start = 0;
        for (QuantizedTensor weight : weights) {
            long count = weight.shape()[0];
            dequantize(weight, all.narrow(0, start, count));
            start += count;
        }
        return new DenseMatmul(all);
    }
}
