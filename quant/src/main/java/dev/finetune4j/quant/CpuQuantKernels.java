package dev.finetune4j.quant;

import dev.finetune4j.core.cpu.CodeKernels;
import dev.finetune4j.core.cpu.CpuCodes;
import dev.finetune4j.core.cpu.CpuKernels;
import dev.finetune4j.core.nn.CpuRowKernel;
import dev.finetune4j.core.nn.RowWeight;
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
 * panel of the weight is made dense that fits into the processor's cache, so that the dense weight is never in memory: by
 * kernels that decode and multiply in one where the processor has products of bfloat16 pairs, elsewhere by libtorch. The
 * panels of a forward pass are rows of the weight and those of a backward pass columns: either way each number of the result
 * is one sum.
 */
final class CpuQuantKernels implements QuantKernels {
    /** Up to so many rows are multiplied by the codes: where there are products of panels, and elsewhere. */
    private static final int FEW_ROWS = 8;

    private static final int FEW_ROWS_ELSE = 16;
    private static final long PANEL_BYTES = 1 << 20;
    private static final long PANEL_MULTIPLE = 64;

    private static final Map<QuantType, FloatPointer> TABLES = tables();

    private final CodeKernels cpu;

    CpuQuantKernels(CpuKernels cpu) {
        this.cpu = cpu.codes();
    }

    /** The numbers of the codes in native memory that no scope owns; they live as long as the process. */
    private static Map<QuantType, FloatPointer> tables() {
        Map<QuantType, FloatPointer> tables = new EnumMap<>(QuantType.class);
        try (TensorScope scope = new TensorScope()) {
            for (QuantType type : QuantType.values()) {
                tables.put(type, scope.release(new FloatPointer(type.codeTable())));
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
        CodeKernels.Part whole = new CodeKernels.Part(elements, 0, 1, 0, elements);
        if (CodeKernels.decodes(Tensors.typeOf(out))) {
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
                Objects.requireNonNull(TABLES.get(weight.settings().type())),
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
            multiply(y.view(-1, out), flat, weight, added, false);
            return scope.keep(y);
        }
    }

    /** {@code y = x Wᵀ + b}, or that added to y, both of two dimensions, in the way that is quickest. */
    private void multiply(Tensor y, Tensor x, QuantizedTensor weight, @Nullable Tensor bias, boolean add) {
        boolean panels = hasPanels(weight, Tensors.typeOf(x));
        if (CodeKernels.multiplies(Tensors.typeOf(x)) && x.size(0) <= (panels ? FEW_ROWS : FEW_ROWS_ELSE)) {
            cpu.rows(codes(weight), x.contiguous(), bias, y, add);
        } else if (panels) {
            cpu.forward(codes(weight), rowsInOnePiece(x), bias, y, add);
        } else if (bias == null) {
            product(y, x, weight, add);
        } else {
            if (add) {
                y.add_(bias);
            } else {
                y.copy_(bias.expand(y.shape()));
            }
            product(y, x, weight, true);
        }
    }

    /** A weight for few rows; null for numbers that are not multiplied by the codes themselves. */
    @Nullable
    RowWeight rowWeight(QuantizedTensor weight, @Nullable Tensor bias, ScalarType type) {
        if (!CodeKernels.multiplies(type) || (bias != null && Tensors.typeOf(bias) != type)) {
            return null;
        }
        // The codes are asked for at each product, so that a closed weight says so.
        return CpuRowKernel.weight(
                type,
                weight.shape()[1],
                weight.shape()[0],
                bias,
                (x, added, y, add) -> cpu.rows(codes(weight), x, added, y, add));
    }

    private boolean hasPanels(QuantizedTensor weight, ScalarType type) {
        long[] shape = weight.shape();
        return cpu.hasPanels(type, weight.settings().blockSize(), shape[1], shape[0]);
    }

    private static Tensor rowsInOnePiece(Tensor x) {
        return x.stride(1) == 1 && x.stride(0) >= x.size(1) ? x : x.contiguous();
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
                decode(weight, new CodeKernels.Part(in, row, rows, 0, in), dense);
                Tensor part = y.narrow(1, row, rows);
                if (add) {
                    part.addmm_(x, dense.t());
                } else {
                    torch.mm_out(part, x, dense.t());
                }
            }
        }
    }

    private void decode(QuantizedTensor weight, CodeKernels.Part part, Tensor to) {
        if (CodeKernels.decodes(Tensors.typeOf(to))) {
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
        if (hasPanels(weight, Tensors.typeOf(gradient))) {
            cpu.backward(codes(weight), rowsInOnePiece(gradient), dx, add);
            return;
        }
        long out = weight.shape()[0];
        long in = weight.shape()[1];
        ScalarType type = Tensors.typeOf(gradient);
        long step = panel(out, gradient.element_size());
        Tensor room = Tensors.empty(ComputeDevice.cpu(), type, out * Math.min(step, in));
        for (long column = 0; column < in; column += step) {
            try (TensorScope turn = new TensorScope()) {
                long width = Math.min(step, in - column);
                Tensor dense = room.narrow(0, 0, out * width).view(out, width);
                decode(weight, new CodeKernels.Part(in, 0, out, column, width), dense);
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
                multiply(part, x, weight, null, true);
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
