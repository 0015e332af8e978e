package dev.finetune4j.quant;

import dev.finetune4j.core.message.SetOnce;
import java.util.Objects;

/**
 * How a weight is turned into 4-bit codes. Immutable.
 *
 * @param type the code
 * @param blockSize how many consecutive weights share one scale: a power of two from 32 to 4096
 * @param doubleQuantization whether the scales themselves are stored in 8 bit, which saves 0.37 bit per weight at block
 *     size 64
 */
public record QuantSettings(QuantType type, int blockSize, boolean doubleQuantization) {
    /** The smallest number of weights that can share a scale. */
    public static final int MIN_BLOCK_SIZE = 32;

    /** The largest number of weights that can share a scale. */
    public static final int MAX_BLOCK_SIZE = 4096;

    /** How many scales share one second-level scale. */
    public static final int SCALE_BLOCK_SIZE = 256;

    /** The numbers of the 8-bit type in which doubly quantized scales are stored. */
    private static final int SCALE_CODES = 256;

    /**
     * @throws IllegalArgumentException if the block size is not a power of two from 32 to 4096
     */
    public QuantSettings {
        Objects.requireNonNull(type, "type");
        if (!isBlockSize(blockSize)) {
            throw new IllegalArgumentException("blockSize must be a power of two from " + MIN_BLOCK_SIZE + " to "
                    + MAX_BLOCK_SIZE + ", but was " + blockSize + "; use 64 when in doubt");
        }
    }

    /** The settings of QLoRA: NF4, blocks of 64, double quantization (4.127 bits per weight). */
    public static QuantSettings nf4() {
        return new QuantSettings(QuantType.NF4, 64, true);
    }

    /** Starts with the settings of {@link #nf4()}. */
    public static Builder builder() {
        return nf4().toBuilder();
    }

    /** Starts with these values, each of which may be set anew. */
    public Builder toBuilder() {
        return new Builder(this);
    }

    /**
     * The bytes that so many weights of one tensor take in memory: codes, scales and the table of the scales.
     *
     * @param weights how many there are, at least 1
     */
    public long storedBytes(long weights) {
        long codes = (weights + 1) / 2;
        long blocks = (weights + blockSize - 1) / blockSize;
        if (!doubleQuantization) {
            return codes + Float.BYTES * blocks;
        }
        long outer = (blocks + SCALE_BLOCK_SIZE - 1) / SCALE_BLOCK_SIZE;
        return codes + blocks + Float.BYTES * (outer + SCALE_CODES + 1L);
    }

    /** Whether blocks of this many weights are possible: a power of two within the limits. */
    public static boolean isBlockSize(long size) {
        return size >= MIN_BLOCK_SIZE && size <= MAX_BLOCK_SIZE && Long.bitCount(size) == 1;
    }

    /** Collects the values. Each is set once; a second call is an {@link IllegalStateException}. Not thread-safe. */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private QuantType type;
        private int blockSize;
        private boolean doubleQuantization;

        private Builder(QuantSettings from) {
            type = from.type;
            blockSize = from.blockSize;
            doubleQuantization = from.doubleQuantization;
        }

        /** The 4-bit code; {@link QuantType#NF4} by default. */
        public Builder type(QuantType value) {
            type = once.set("type", value);
            return this;
        }

        /** How many consecutive weights share one scale, a power of two from 32 to 4096; 64 by default. */
        public Builder blockSize(int value) {
            blockSize = once.set("blockSize", value);
            return this;
        }

        /** Whether the scales themselves are stored in 8 bit; on by default. */
        public Builder doubleQuantization(boolean value) {
            doubleQuantization = once.set("doubleQuantization", value);
            return this;
        }

        /**
         * The settings.
         *
         * @throws IllegalArgumentException if the block size is not a power of two from 32 to 4096
         */
        public QuantSettings build() {
            return new QuantSettings(type, blockSize, doubleQuantization);
        }
    }
}
