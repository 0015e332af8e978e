package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Quantization by ordinary libtorch operations, for every device that libtorch knows: a byte is looked up in a table of
 * pairs of numbers, and the pairs are multiplied by the scales of their blocks.
 *
 * <p>The two tables (2 KiB each) live as long as this object.
 */
final class TorchQuantKernels implements QuantKernels {
    /** Packed bytes per turn: the temporaries of a turn stay in the processor's cache. */
    private static final long CHUNK = 1 << 15;

    private final ComputeDevice device;
    private final Map<QuantType, Tensor> pairs = new EnumMap<>(QuantType.class);

    TorchQuantKernels(ComputeDevice device) {
        this.device = device;
        for (QuantType type : QuantType.values()) {
            pairs.put(type, pairTable(type));
        }
    }

    /** For each byte its two float32 numbers, seen as one int64 so that one look-up moves both. */
    private Tensor pairTable(QuantType type) {
        float[] values = FourBitCodebook.of(type).table();
        float[] table = new float[512];
        for (int code = 0; code < 256; code++) {
            table[2 * code] = values[code >> 4];
            table[2 * code + 1] = values[code & 15];
        }
        try (TensorScope scope = new TensorScope()) {
            return scope.release(Tensors.ofFloats(device, table, 512).view(ScalarType.Long));
        }
    }

    @Override
    public QuantizedTensor quantize(Tensor dense, QuantSettings settings) {
        TorchPasses passes = new TorchPasses(device, settings, 2 * Math.max(CHUNK, 1 << 18));
        return new Quantizer(device, settings, passes).quantize(this, dense);
    }

    @Override
    public void dequantize(QuantizedTensor weight, Tensor out) {
        if (!out.is_contiguous()) {
            throw new IllegalArgumentException("the output must be contiguous; pass a fresh tensor");
        }
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor packed = weight.packed().view(-1);
            Tensor scales = scales(weight.scales());
            Tensor target = out.view(-1);
            Tensor table = Objects.requireNonNull(pairs.get(weight.settings().type()));
            int block = weight.settings().blockSize();
            long bytes = packed.numel();
            for (long start = 0; start < bytes; start += CHUNK) {
                long count = Math.min(CHUNK, bytes - start);
                long first = 2 * start;
                long elements = Math.min(2 * count, target.numel() - first);
                try (TensorScope turn = new TensorScope()) {
                    Tensor index = packed.narrow(0, start, count).to(ScalarType.Int);
                    Tensor values = table.index_select(0, index).view(ScalarType.Float);
                    long blocks = (elements + block - 1) / block;
                    multiplyBlocks(
                            values, scales.narrow(0, first / block, blocks), block, target.narrow(0, first, elements));
                }
            }
        }
    }

    /** One float32 scale per block; the caller's scope owns it unless the weight does. */
    private static Tensor scales(BlockScales scales) {
        if (scales instanceof BlockScales.Plain plain) {
            return plain.absmax();
        }
        BlockScales.Nested nested = (BlockScales.Nested) scales;
        Tensor values = nested.map().index_select(0, nested.codes().to(ScalarType.Int));
        multiplyBlocks(values, nested.absmax(), DynamicCodebook.BLOCK_SIZE, values);
        return values.add_(Tensors.scalar(nested.offset()));
    }

    /** {@code out[i] = values[i] * scales[i / block]} for the length of {@code out}; the last block may be short. */
    private static void multiplyBlocks(Tensor values, Tensor scales, long block, Tensor out) {
        long elements = out.numel();
        long blocks = elements / block;
        long whole = blocks * block;
        if (blocks > 0) {
            boolean all = whole == values.numel();
            torch.mul_out(
                    (whole == elements ? out : out.narrow(0, 0, whole)).view(blocks, block),
                    (all ? values : values.narrow(0, 0, whole)).view(blocks, block),
                    (blocks == scales.numel() ? scales : scales.narrow(0, 0, blocks)).view(blocks, 1));
        }
        if (whole < elements) {
            torch.mul_out(
                    out.narrow(0, whole, elements - whole),
                    values.narrow(0, whole, elements - whole),
                    scales.narrow(0, blocks, 1));
        }
    }

    @Override
    public Tensor forward(Tensor x, QuantizedTensor weight, @Nullable Tensor bias) {
        try (TensorScope scope = new TensorScope()) {
            Tensor dense = weight.dequantize(x.scalar_type());
            return scope.keep(
                    bias == null
                            ? torch.linear(x, dense)
                            : torch.linear(x, dense, new TensorOptional(Tensors.as(bias, x.scalar_type()))));
        }
    }

    @Override
    public Tensor backward(Tensor gradient, QuantizedTensor weight) {
        try (TensorScope scope = new TensorScope()) {
            return scope.keep(gradient.matmul(weight.dequantize(gradient.scalar_type())));
        }
    }
}
