package dev.finetune4j.quant;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * One quantization by libtorch operations. The pass over the weight runs in chunks on its device; the scales, one per
 * block, are worked on in Java, where each rounding is under control.
 */
final class TorchQuantizer {
    private final ComputeDevice device;
    private final QuantSettings settings;
    private final int block;
    private final long chunk;

    /** @param chunk weights per turn, a multiple of the largest block size */
    TorchQuantizer(ComputeDevice device, QuantSettings settings, long chunk) {
        this.device = device;
        this.settings = settings;
        this.block = settings.blockSize();
        this.chunk = chunk;
    }

    QuantizedTensor quantize(QuantKernels kernels, Tensor dense) {
        ScalarType type = dense.scalar_type().intern();
        if (!QuantState.holds(type) || dense.numel() == 0) {
            throw new IllegalArgumentException("a weight of type " + type + " with " + dense.numel()
                    + " elements cannot be quantized; expected at least one element in float32, bfloat16 or float16");
        }
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor flat = dense.detach().contiguous().view(-1);
            float[] absmax = absmax(flat);
            Tensor packed = pack(flat, absmax);
            Tensor[] owned;
            BlockScales scales;
            float offset = 0;
            if (settings.doubleQuantization()) {
                offset = CudaRounding.mean(absmax);
                NestedCodes nested = NestedCodes.of(absmax, offset);
                Tensor codes = Tensors.ofBytes(device, nested.codes(), absmax.length);
                Tensor map = Tensors.ofFloats(device, DynamicMap.table(), 256);
                Tensor outer = Tensors.ofFloats(device, nested.absmax(), nested.absmax().length);
                owned = new Tensor[] {packed, codes, map, outer};
                scales = new BlockScales.Nested(codes, map, outer, offset);
            } else {
                Tensor plain = Tensors.ofFloats(device, absmax, absmax.length);
                owned = new Tensor[] {packed, plain};
                scales = new BlockScales.Plain(plain);
            }
            for (Tensor tensor : owned) {
                scope.release(tensor);
            }
            QuantState state = new QuantState(settings, type, dense.shape(), offset);
            return new QuantizedTensor(kernels, state, packed, scales);
        }
    }

    private float[] absmax(Tensor flat) {
        long elements = flat.numel();
        float[] absmax = new float[Math.toIntExact((elements + block - 1) / block)];
        for (long start = 0; start < elements; start += chunk) {
            try (TensorScope turn = new TensorScope()) {
                float[] part = Tensors.toFloats(torch.amax(blocks(flat, start).abs(), new long[] {1}, false));
                System.arraycopy(part, 0, absmax, Math.toIntExact(start / block), part.length);
            }
        }
        for (int i = 0; i < absmax.length; i++) {
            if (!Float.isFinite(absmax[i])) {
                throw new IllegalArgumentException("the weight holds a NaN or an infinity between its elements "
                        + (long) i * block + " and " + Math.min(elements, (i + 1L) * block)
                        + "; such a weight cannot be quantized: replace the file that it came from");
            }
            // The GPU takes subnormal numbers for zero.
            absmax[i] = absmax[i] < Float.MIN_NORMAL ? 0 : absmax[i];
        }
        return absmax;
    }

    private Tensor pack(Tensor flat, float[] absmax) {
        long elements = flat.numel();
        Tensor packed = Tensors.empty(device, ScalarType.Byte, (elements + 1) / 2, 1);
        Tensor bytes = packed.view(-1);
        float[] reciprocals = new float[absmax.length];
        for (int i = 0; i < absmax.length; i++) {
            reciprocals[i] = absmax[i] == 0 ? 0 : CudaRounding.reciprocal(absmax[i]);
        }
        Tensor factors = Tensors.ofFloats(device, reciprocals, reciprocals.length, 1);
        Tensor limits = Tensors.ofFloats(device, settings.type().thresholds(), 15);
        Tensor bytesOfPairs = bytesOfPairs();
        for (long start = 0; start < elements; start += chunk) {
            try (TensorScope turn = new TensorScope()) {
                Tensor weights = blocks(flat, start);
                Tensor chunkFactors = factors.narrow(0, start / block, weights.size(0));
                Tensor intervals = torch.bucketize(weights.mul(chunkFactors), limits, true, false)
                        .view(-1, 2);
                Tensor pair = intervals.select(1, 0).mul(new Scalar(16)).add_(intervals.select(1, 1));
                Tensor codes = bytesOfPairs.index_select(0, pair).view(-1, block / 2);
                // Zero times infinity is NaN on the GPU, and NaN becomes code 0.
                codes.masked_fill_(chunkFactors.eq(Tensors.scalar(0)), Tensors.scalar(0));
                long count = Math.min(codes.numel(), bytes.numel() - start / 2);
                bytes.narrow(0, start / 2, count).copy_(codes.view(-1).narrow(0, 0, count));
            }
        }
        return packed;
    }

    /** Weights from {@code start} on in float32, shape (blocks, block size); zeros fill the last block up. */
    private Tensor blocks(Tensor flat, long start) {
        long count = Math.min(chunk, flat.numel() - start);
        Tensor part = Tensors.as(flat.narrow(0, start, count), ScalarType.Float);
        long missing = (block - count % block) % block;
        if (missing > 0) {
            part = torch.cat(new TensorVector(part, Tensors.zeros(device, ScalarType.Float, missing)), 0);
        }
        return part.view(-1, block);
    }

    /** The byte for each pair of intervals {@code 16 * first + second}. */
    private Tensor bytesOfPairs() {
        int[] codes = settings.type().intervalCodes();
        byte[] table = new byte[256];
        for (int i = 0; i < table.length; i++) {
            table[i] = (byte) (codes[i >> 4] << 4 | codes[i & 15]);
        }
        return Tensors.ofBytes(device, table, table.length);
    }

    /**
     * Scales of the blocks, quantized again.
     *
     * @param codes one per block
     * @param absmax one per 256 blocks
     */
    @SuppressWarnings("ArrayRecordComponent")
    record NestedCodes(byte[] codes, float[] absmax) {
        static NestedCodes of(float[] scales, float offset) {
            int size = DynamicMap.BLOCK_SIZE;
            byte[] codes = new byte[scales.length];
            float[] absmax = new float[(scales.length + size - 1) / size];
            for (int i = 0; i < absmax.length; i++) {
                int from = i * size;
                int to = Math.min(from + size, scales.length);
                float largest = 0;
                for (int k = from; k < to; k++) {
                    largest = Math.max(largest, Math.abs(scales[k] - offset));
                }
                if (largest < Float.MIN_NORMAL) {
                    Arrays.fill(codes, from, to, (byte) 0);
                    continue;
                }
                absmax[i] = largest;
                float reciprocal = CudaRounding.reciprocal(largest);
                for (int k = from; k < to; k++) {
                    codes[k] = (byte) DynamicMap.encode((scales[k] - offset) * reciprocal);
                }
            }
            return new NestedCodes(codes, absmax);
        }
    }
}
