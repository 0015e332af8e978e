package dev.finetune4j;

import dev.finetune4j.core.io.GgmlType;

/** The number format of the matrices in a GGUF file; norms and biases are in float32 always. */
public enum GgufType {
    /** 32 bits: nothing is rounded. */
    F32(GgmlType.F32),
    /** 16 bits, half precision; a model with numbers beyond ±65,504 is refused. */
    F16(GgmlType.F16),
    /** 16 bits, as most models are published. */
    BF16(GgmlType.BF16),
    /** 8.5 bits: blocks of 32 numbers with a scale. Rows that are not made of whole blocks are in F16. */
    Q8_0(GgmlType.Q8_0);

    private final GgmlType stored;

    GgufType(GgmlType stored) {
        this.stored = stored;
    }

    GgmlType stored() {
        return stored;
    }
}
