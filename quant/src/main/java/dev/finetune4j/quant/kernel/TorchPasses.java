package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The passes of a quantization by libtorch operations, in chunks on the weight's device.
 */
final class TorchPasses implements Quantizer.Passes {
    private final ComputeDevice device;
    private final QuantSettings settings;
    private final int block;
    private final long chunk;

    /** @param chunk weights per turn, a multiple of the largest block size */
    TorchPasses(ComputeDevice device, QuantSettings settings, long chunk) {
        this.device = device;
        this.settings = settings;
        this.block = settings.blockSize();
        this.chunk = chunk;
    }

    @Override
    public float[] absmax(Tensor flat) {
        long elements = flat.numel();
        float[] absmax = new float[Math.toIntExact((elements + block - 1) / block)];
        for (long start = 0; start < elements; start += chunk) {
            try (TensorScope turn = new TensorScope()) {
                float[] part = Tensors.toFloats(torch.amax(blocks(flat, start).abs(), new long[] {1}, false));
                System.arraycopy(part, 0, absmax, Math.toIntExact(start / block), part.length);
            }
        }
        return absmax;
    }

    @Override
    public Tensor pack(Tensor flat, float[] reciprocals) {
        long elements = flat.numel();
        Tensor packed = Tensors.empty(device, ScalarType.Byte, (elements + 1) / 2, 1);
        Tensor bytes = packed.view(-1);
        Tensor factors = Tensors.ofFloats(device, reciprocals, reciprocals.length, 1);
        Tensor limits =
                Tensors.ofFloats(device, FourBitCodebook.of(settings.type()).thresholds(), 15);
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
        int[] codes = FourBitCodebook.of(settings.type()).intervalCodes();
        byte[] table = new byte[256];
        for (int i = 0; i < table.length; i++) {
            table[i] = (byte) (codes[i >> 4] << 4 | codes[i & 15]);
        }
        return Tensors.ofBytes(device, table, table.length);
    }
}
