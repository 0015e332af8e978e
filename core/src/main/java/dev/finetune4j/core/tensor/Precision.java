package dev.finetune4j.core.tensor;

import org.bytedeco.pytorch.global.torch.ScalarType;

/** The number format in which a model computes. */
public enum Precision {
    /** 32-bit IEEE floating point: the reference, and the right choice for tests. */
    FP32(ScalarType.Float, 4),
    /** bfloat16: half the memory and, on most hardware made since 2020, much faster. */
    BF16(ScalarType.BFloat16, 2);

    private final ScalarType scalarType;
    private final int bytes;

    Precision(ScalarType scalarType, int bytes) {
        this.scalarType = scalarType;
        this.bytes = bytes;
    }

    /** The libtorch type of this format. */
    public ScalarType scalarType() {
        return scalarType;
    }

    /** Bytes of one number. */
    public int bytes() {
        return bytes;
    }
}
