package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * One quantization with scales that are worked on in Java, where each rounding is under control. The two passes over the
 * weight, which take the time, are somebody else's.
 */
final class Quantizer {
    /** What runs over all weights. */
    interface Passes {
        /**
         * The largest magnitude of each block; not finite where the block holds a number that is not.
         *
         * @param flat all weights, shape (n), contiguous
         */
        float[] absmax(Tensor flat);

        /**
         * The codes, uint8, shape (⌈n/2⌉, 1); the scope of the caller owns them.
         *
         * @param factors what the weights of each block are multiplied by; 0 makes code 0
         */
        Tensor pack(Tensor flat, float[] factors);
    }

    private final ComputeDevice device;
    private final QuantSettings settings;
    private final int block;
    private final Passes passes;

    Quantizer(ComputeDevice device, QuantSettings settings, Passes passes) {
        this.device = device;
        this.settings = settings;
        this.block = settings.blockSize();
        this.passes = passes;
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
            float[] absmax = scales(flat);
            Tensor packed = passes.pack(flat, factors(absmax));
            Tensor[] owned;
            BlockScales scales;
            float offset = 0;
            if (settings.doubleQuantization()) {
                offset = CudaRounding.mean(absmax);
                NestedCodes nested = NestedCodes.of(absmax, offset);
                Tensor codes = Tensors.ofBytes(device, nested.codes(), absmax.length);
                Tensor map = Tensors.ofFloats(device, DynamicCodebook.signed().table(), 256);
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

    private float[] scales(Tensor flat) {
        float[] absmax = passes.absmax(flat);
        for (int i = 0; i < absmax.length; i++) {
            if (!Float.isFinite(absmax[i])) {
                throw new IllegalArgumentException("the weight holds a NaN or an infinity between its elements "
                        + (long) i * block + " and " + Math.min(flat.numel(), (i + 1L) * block)
                        + "; such a weight cannot be quantized: replace the file that it came from");
            }
            // The GPU takes subnormal numbers for zero.
            absmax[i] = absmax[i] < Float.MIN_NORMAL ? 0 : absmax[i];
        }
        return absmax;
    }

    private static float[] factors(float[] absmax) {
        float[] reciprocals = new float[absmax.length];
        for (int i = 0; i < absmax.length; i++) {
            reciprocals[i] = absmax[i] == 0 ? 0 : CudaRounding.reciprocal(absmax[i]);
        }
        return reciprocals;
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
            int size = DynamicCodebook.BLOCK_SIZE;
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
                    codes[k] = (byte) DynamicCodebook.signed().encode((scales[k] - offset) * reciprocal);
                }
            }
            return new NestedCodes(codes, absmax);
        }
    }
}
