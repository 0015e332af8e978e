package dev.finetune4j.quant;

import dev.finetune4j.core.cpu.CpuCodes;
import dev.finetune4j.core.cpu.CpuKernels;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Quantization on the CPU by the kernels of {@link CpuKernels}. Few rows are multiplied by the codes themselves; for more, a
 * panel of the weight is made dense that fits into the processor's cache, and libtorch multiplies by it, so that the dense
 * weight is never in memory. The panels of a forward pass are rows of the weight and those of a backward pass columns: either
 * way each number of the result is one sum.
 */
final class CpuQuantKernels implements QuantKernels {
    private static final int FEW_ROWS = 16;
    private static final long PANEL_BYTES = 1 << 20;
    private static final long PANEL_MULTIPLE = 64;

    private final CpuKernels cpu;
    private final Map<QuantType, FloatPointer> tables = new EnumMap<>(QuantType.class);

    /** The tables of the codes live as long as this object. */
    CpuQuantKernels(CpuKernels cpu) {
        this.cpu = cpu;
        for (QuantType type : QuantType.values()) {
            tables.put(type, new FloatPointer(type.codeTable()));
        }
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
        int[] intervals = settings.type().intervalCodes();
        byte[] bytes = new byte[intervals.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) intervals[i];
        }
        cpu.encode(flat, settings.blockSize(), factors, settings.type().thresholds(), bytes, packed);
        return packed;
    }

    @Override
    public void dequantize(QuantizedTensor weight, Tensor out) {
        if (!out.is_contiguous()) {
            throw new IllegalArgumentException("the output must be contiguous; pass a fresh tensor");
        }
        CpuCodes codes = codes(weight);
        long elements = codes.elements();
        CpuKernels.Part whole = new CpuKernels.Part(elements, 0, 1, 0, elements);
        if (CpuKernels.decodes(Tensors.typeOf(out))) {
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
    private CpuCodes codes(QuantizedTensor weight) {
        return weight.cpuCodes(scales -> new CpuCodes(
                weight.packed(),
                weight.elements(),
                weight.settings().blockSize(),
                Objects.requireNonNull(tables.get(weight.settings().type())),
                scales));
    }

    @Override
    public Tensor forward(Tensor x, QuantizedTensor weight, @Nullable Tensor bias) {
        long out = weight.shape()[0];
        ScalarType type = Tensors.typeOf(x);
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = x.reshape(-1, x.size(-1)); // (n, in)
            long[] shape = x.shape();
            shape[shape.length - 1] = out;
            Tensor y = Tensors.empty(ComputeDevice.cpu(), type, shape);
            @Nullable Tensor added = bias == null ? null : Tensors.as(bias, type);
            if (servesFew(flat)) {
                cpu.rows(codes(weight), flat.contiguous(), added, y.view(-1, out), false);
            } else if (added == null) {
                product(y.view(-1, out), flat, weight, false);
            } else {
                y.copy_(added.expand(shape));
                product(y.view(-1, out), flat, weight, true);
            }
            return scope.keep(y);
        }
    }

    private static boolean servesFew(Tensor flat) {
        return flat.size(0) <= FEW_ROWS && CpuKernels.multiplies(Tensors.typeOf(flat));
    }

    /** {@code y = x Wᵀ}, or that added to y, both of two dimensions. */
    private void product(Tensor y, Tensor x, QuantizedTensor weight, boolean add) {
        long out = weight.shape()[0];
        long in = weight.shape()[1];
        ScalarType type = Tensors.typeOf(x);
        long step = panel(in, x.element_size());
        Tensor room = Tensors.empty(ComputeDevice.cpu(), type, Math.min(step, out), in);
        for (long row = 0; row < out; row += step) {
            try (TensorScope turn = new TensorScope()) {
                long rows = Math.min(step, out - row);
                Tensor dense = room.narrow(0, 0, rows);
                decode(weight, new CpuKernels.Part(in, row, rows, 0, in), dense);
                Tensor part = y.narrow(1, row, rows);
                if (add) {
                    part.addmm_(x, dense.t());
                } else {
                    torch.mm_out(part, x, dense.t());
                }
            }
        }
    }

    private void decode(QuantizedTensor weight, CpuKernels.Part part, Tensor to) {
        if (CpuKernels.decodes(Tensors.typeOf(to))) {
            cpu.decode(codes(weight), part, to);
            return;
        }
        Tensor numbers = Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, to.shape());
        cpu.decode(codes(weight), part, numbers);
        to.copy_(numbers);
    }

    /** How many rows or columns of a given length a panel has. */
    private static long panel(long length, long bytes) {
        return Math.max(1, PANEL_BYTES / bytes / Math.max(1, length) / PANEL_MULTIPLE) * PANEL_MULTIPLE;
    }

    @Override
    public Tensor backward(Tensor gradient, QuantizedTensor weight) {
        long in = weight.shape()[1];
        try (TensorScope scope = new TensorScope()) {
            long[] shape = gradient.shape();
            shape[shape.length - 1] = in;
            Tensor dx = Tensors.empty(ComputeDevice.cpu(), Tensors.typeOf(gradient), shape);
            inputGradient(dx.view(-1, in), gradient.reshape(-1, gradient.size(-1)), weight, false);
            return scope.keep(dx);
        }
    }

    /** {@code dx = dy W}, or that added to dx, both of two dimensions. */
    private void inputGradient(Tensor dx, Tensor gradient, QuantizedTensor weight, boolean add) {
        long out = weight.shape()[0];
        long in = weight.shape()[1];
        ScalarType type = Tensors.typeOf(gradient);
        long step = panel(out, gradient.element_size());
        Tensor room = Tensors.empty(ComputeDevice.cpu(), type, out * Math.min(step, in));
        for (long column = 0; column < in; column += step) {
            try (TensorScope turn = new TensorScope()) {
                long width = Math.min(step, in - column);
                Tensor dense = room.narrow(0, 0, out * width).view(out, width);
                decode(weight, new CpuKernels.Part(in, 0, out, column, width), dense);
                Tensor part = dx.narrow(1, column, width);
                if (add) {
                    part.addmm_(gradient, dense);
                } else {
                    torch.mm_out(part, gradient, dense);
                }
            }
        }
    }

    @Override
    public void addProduct(Tensor y, Tensor x, List<QuantizedTensor> weights) {
        try (TensorScope scope = new TensorScope()) {
            long start = 0;
            for (QuantizedTensor weight : weights) {
                Tensor part = y.narrow(1, start, weight.shape()[0]);
                if (servesFew(x)) {
                    cpu.rows(codes(weight), x.contiguous(), null, part, true);
                } else {
                    product(part, x, weight, true);
                }
                start += weight.shape()[0];
            }
        }
    }

    @Override
    public void addInputGradient(Tensor dx, Tensor gradient, List<QuantizedTensor> weights) {
        try (TensorScope scope = new TensorScope()) {
            long start = 0;
            for (QuantizedTensor weight : weights) {
                inputGradient(dx, gradient.narrow(1, start, weight.shape()[0]), weight, true);
                start += weight.shape()[0];
            }
        }
    }
}
