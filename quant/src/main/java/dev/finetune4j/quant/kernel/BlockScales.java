package dev.finetune4j.quant.kernel;

import org.bytedeco.pytorch.Tensor;

/** The scale of each block of a quantized weight: the largest magnitude in it. */
sealed interface BlockScales extends AutoCloseable {
    /** Bytes of the tensors. */
    long storedBytes();

    @Override
    void close();

    /**
     * Scales as they are.
     *
     * @param absmax float32, one per block
     */
    record Plain(Tensor absmax) implements BlockScales {
        @Override
        public long storedBytes() {
            return absmax.nbytes();
        }

        @Override
        public void close() {
            absmax.close();
        }
    }

    /**
     * Scales in 8 bit: {@code scale[i] = map[codes[i]] * absmax[i / 256] + offset}.
     *
     * @param codes uint8, one per block
     * @param map float32 (256), the numbers that the codes stand for
     * @param absmax float32, one per 256 blocks
     * @param offset the mean of the scales
     */
    record Nested(Tensor codes, Tensor map, Tensor absmax, float offset) implements BlockScales {
        @Override
        public long storedBytes() {
            return codes.nbytes() + map.nbytes() + absmax.nbytes() + Float.BYTES;
        }

        @Override
        public void close() {
            codes.close();
            map.close();
            absmax.close();
        }
    }
}
