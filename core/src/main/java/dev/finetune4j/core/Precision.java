package dev.finetune4j.core;

/** The number format in which a model computes. */
public enum Precision {
    /** 32-bit IEEE floating point: the reference, and the right choice for tests. */
    FP32(4),
    /** bfloat16: half the memory and, on most hardware made since 2020, much faster. */
    BF16(2);

    private final int bytes;

    Precision(int bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one number. */
    public int bytes() {
        return bytes;
    }
}
