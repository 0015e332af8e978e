package dev.finetune4j.core.io;

/** A number format of tensors in a <a href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md">GGUF</a> file. */
public enum GgmlType {
    /** 32-bit floating point. */
    F32(0, 1, 4),
    /** 16-bit floating point, IEEE half precision. */
    F16(1, 1, 2),
    /** Blocks of 32 numbers: a half-precision scale, then 32 signed bytes. */
    Q8_0(8, 32, 34),
    /** 16-bit floating point with the exponent of float32. */
    BF16(30, 1, 2);

    private final int id;
    private final int blockNumbers;
    private final int blockBytes;

    GgmlType(int id, int blockNumbers, int blockBytes) {
        this.id = id;
        this.blockNumbers = blockNumbers;
        this.blockBytes = blockBytes;
    }

    /** Its number in the file. */
    int id() {
        return id;
    }

    /** Whether rows of so many numbers can be stored so: blocks do not reach from one row into the next. */
    public boolean fitsRowsOf(long numbers) {
        return numbers % blockNumbers == 0;
    }

    /** Bytes of so many numbers, in whole blocks. */
    long bytes(long numbers) {
        return Math.multiplyExact(numbers / blockNumbers, (long) blockBytes);
    }
}
