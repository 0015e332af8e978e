package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.CpuGemvKernel;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.FourBitKernels;
import dev.finetune4j.core.kernel.cpu.FourBitWeight;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Quantization on the CPU by the kernels of {@link CpuKernels}. Few rows are multiplied by the codes themselves (GEMV); for more,
 * panels of the weight that fit into the processor's cache are decoded and multiplied in one, so that the dense weight is
 * never in memory. Numbers of other types than float32 and bfloat16 are multiplied in float32.
 */
final class CpuQuantKernels implements QuantKernels {
    /** Up to so many rows are multiplied by the codes themselves. */
    private static final int FEW_ROWS = 8;

    private static final Map<QuantType, FloatPointer> TABLES = tables();

    private final FourBitKernels cpu;

    CpuQuantKernels(CpuKernels cpu) {
        this.cpu = cpu.fourBit();
    }

    /** The numbers of the codes in native memory that no scope owns; they live as long as the process. */
    private static Map<QuantType, FloatPointer> tables() {
        Map<QuantType, FloatPointer> tables = new EnumMap<>(QuantType.class);
        try (TensorScope scope = new TensorScope()) {
            for (QuantType type : QuantType.values()) {
                tables.put(
                        type,
                        scope.release(new FloatPointer(FourBitCodebook.of(type).table())));
            }
        }
        return tables;
    }

    @Override
    public QuantizedTensor quantize(Tensor dense, QuantSettings settings) {
        Quantizer.Passes passes = new Quantizer.Passes() {
            @Override
            public float[] absmax(Tensor flat) {
                return cpu.absmax(flat, settings.blockSize());
            }

            @Override
            public Tensor pack(Tensor flat, float[] factors) {
                return codes(flat, settings, factors);
            }
        };
        return new Quantizer(ComputeDevice.cpu(), settings, passes).quantize(this, dense);
    }

    private Tensor codes(Tensor flat, QuantSettings settings, float[] factors) {
        Tensor packed = Tensors.empty(ComputeDevice.cpu(), ScalarType.Byte, (flat.numel() + 1) / 2, 1);
        int[] intervals = FourBitCodebook.of(settings.type()).intervalCodes();
        byte[] bytes = new byte[intervals.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) intervals[i];
        }
        cpu.encode(
                flat,
                settings.blockSize(),
                factors,
                FourBitCodebook.of(settings.type()).thresholds(),
                bytes,
                packed);
        return packed;
    }

    @Override
    public void dequantize(QuantizedTensor weight, Tensor out) {
        if (!out.is_contiguous()) {
            throw new IllegalArgumentException("the output must be contiguous; pass a fresh tensor");
        }
        FourBitWeight codes = codes(weight);
        long elements = codes.elements();
        FourBitKernels.Part whole = new FourBitKernels.Part(elements, 0, 1, 0, elements);
        if (FourBitKernels.decodes(Tensors.typeOf(out))) {
            cpu.decode(codes, whole, out);
        } else {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                Tensor numbers = Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, out.shape());
                cpu.decode(codes, whole, numbers);
                out.copy_(numbers);
            }
        }
    }

    /** Where the parts of a weight are. */
    private FourBitWeight codes(QuantizedTensor weight) {
        return weight.cpuCodes(scales -> new FourBitWeight(
                weight.packed(),
                weight.elements(),
                weight.settings().blockSize(),
                Objects.requireNonNull(TABLES.get(weight.settings().type())),
                scales));
    }

    @Override
    public Tensor forward(Tensor x, QuantizedTensor weight, @Nullable Tensor bias) {
        long out = weight.shape()[0];
        ScalarType type = Tensors.typeOf(x);
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = multiplied(x.reshape(-1, x.size(-1))); // (n, in)
            long[] shape = x.shape();
            shape[shape.length - 1] = out;
            Tensor y = Tensors.empty(ComputeDevice.cpu(), Tensors.typeOf(flat), shape);
            @Nullable Tensor added = bias == null ? null : Tensors.as(bias, Tensors.typeOf(flat));
            multiply(y.view(-1, out), flat, weight, added, false);
            return scope.keep(Tensors.as(y, type));
        }
    }

    /** A matrix in a type that is multiplied, with contiguous rows. */
    private static Tensor multiplied(Tensor x) {
        Tensor numbers = FourBitKernels.multiplies(Tensors.typeOf(x)) ? x : Tensors.as(x, ScalarType.Float);
        return numbers.stride(1) == 1 && numbers.stride(0) >= numbers.size(1) ? numbers : numbers.contiguous();
    }

    /** {@code y = x Wᵀ + b}, or that added to y, both of two dimensions, in the way that is quickest. */
    private void multiply(Tensor y, Tensor x, QuantizedTensor weight, @Nullable Tensor bias, boolean add) {
        if (x.size(0) <= FEW_ROWS) {
            cpu.gemv(codes(weight), x.contiguous(), bias, y, add);
        } else {
            cpu.forward(codes(weight), x, bias, y, add);
        }
    }

    @Override
    public @Nullable GemvWeight<?> gemvWeight(QuantizedTensor weight, @Nullable Tensor bias, ScalarType type) {
        if (!FourBitKernels.multiplies(type) || (bias != null && Tensors.typeOf(bias) != type)) {
            return null;
        }
        // The codes are asked for at each product, so that a closed weight says so.
        return CpuGemvKernel.weight(
                type,
                weight.shape()[1],
                weight.shape()[0],
                bias,
                (x, added, y, add) -> cpu.gemv(codes(weight), x, added, y, add));
    }

    @Override
    public Tensor backward(Tensor gradient, QuantizedTensor weight) {
        long in = weight.shape()[1];
        ScalarType type = Tensors.typeOf(gradient);
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = multiplied(gradient.reshape(-1, gradient.size(-1)));
            long[] shape = gradient.shape();
            shape[shape.length - 1] = in;
            Tensor dx = Tensors.empty(ComputeDevice.cpu(), Tensors.typeOf(flat), shape);
            cpu.backward(codes(weight), flat, dx.view(-1, in), false);
            return scope.keep(Tensors.as(dx, type));
        }
    }

    /** Calls work with a matrix in a type that is multiplied, whose numbers then are those of the given one. */
    private static void inMultiplied(Tensor given, Consumer<Tensor> work) {
        if (FourBitKernels.multiplies(Tensors.typeOf(given))) {
            work.accept(given);
            return;
        }
        Tensor numbers = Tensors.as(given, ScalarType.Float);
        work.accept(numbers);
        given.copy_(numbers);
    }

    @Override
    public void addForward(Tensor y, Tensor x, List<QuantizedTensor> weights) {
        try (TensorScope scope = new TensorScope()) {
            Tensor rows = multiplied(x);
            long start = 0;
            for (QuantizedTensor weight : weights) {
                Tensor part = y.narrow(1, start, weight.shape()[0]);
                inMultiplied(part, numbers -> multiply(numbers, rows, weight, null, true));
                start += weight.shape()[0];
            }
        }
    }

    @Override
    public void addBackward(Tensor dx, Tensor gradient, List<QuantizedTensor> weights) {
        try (TensorScope scope = new TensorScope()) {
            Tensor rows = multiplied(gradient);
            inMultiplied(dx, numbers -> {
                long start = 0;
                for (QuantizedTensor weight : weights) {
                    long out = weight.shape()[0];
                    cpu.backward(codes(weight), rows.narrow(1, start, out), numbers, true);
                    start += out;
                }
            });
        }
    }
}
