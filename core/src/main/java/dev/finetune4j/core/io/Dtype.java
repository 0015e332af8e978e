package dev.finetune4j.core.io;

import java.util.Optional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A number format of <a href="https://github.com/huggingface/safetensors#format">safetensors</a>. The constants are
 * named as in the files and stand in the order by which the reference library sorts tensors, small alignment first;
 * their order is therefore part of the written bytes.
 */
public enum Dtype {
    BOOL(8, ScalarType.Bool),
    F4(4, null),
    F6_E2M3(6, null),
    F6_E3M2(6, null),
    U8(8, ScalarType.Byte),
    I8(8, ScalarType.Char),
    F8_E5M2(8, ScalarType.Float8_e5m2),
    F8_E4M3(8, ScalarType.Float8_e4m3fn),
    F8_E8M0(8, ScalarType.Float8_e8m0fnu),
    F8_E4M3FNUZ(8, ScalarType.Float8_e4m3fnuz),
    F8_E5M2FNUZ(8, ScalarType.Float8_e5m2fnuz),
    I16(16, ScalarType.Short),
    U16(16, ScalarType.UInt16),
    F16(16, ScalarType.Half),
    BF16(16, ScalarType.BFloat16),
    I32(32, ScalarType.Int),
    U32(32, ScalarType.UInt32),
    F32(32, ScalarType.Float),
    C64(64, ScalarType.ComplexFloat),
    F64(64, ScalarType.Double),
    I64(64, ScalarType.Long),
    U64(64, ScalarType.UInt64);

    private final int bits;
    private final @Nullable ScalarType scalarType;

    Dtype(int bits, @Nullable ScalarType scalarType) {
        this.bits = bits;
        this.scalarType = scalarType;
    }

    /** Bits of one element. */
    public int bits() {
        return bits;
    }

    /** The libtorch type with the same bytes; empty for the packed 4- and 6-bit formats, which cannot be read here. */
    public Optional<ScalarType> scalarType() {
        return Optional.ofNullable(scalarType);
    }

    /**
     * The format that stores a libtorch type; empty for types that safetensors does not know, such as quantized ones.
     */
    public static Optional<Dtype> of(ScalarType type) {
        for (Dtype dtype : values()) {
            // Enums that come from native code are fresh objects, so their numbers are compared.
            if (dtype.scalarType != null && dtype.scalarType.value == type.value) {
                return Optional.of(dtype);
            }
        }
        return Optional.empty();
    }

    /** The format of that name in a file; empty when there is none. */
    static Optional<Dtype> named(String name) {
        for (Dtype dtype : values()) {
            if (dtype.name().equals(name)) {
                return Optional.of(dtype);
            }
        }
        return Optional.empty();
    }

    /**
     * Bytes of a tensor.
     *
     * @throws ArithmeticException when the size overflows 63 bits or is no whole number of bytes
     */
    long bytes(long... shape) {
        long elements = 1;
        for (long extent : shape) {
            elements = Math.multiplyExact(elements, extent);
        }
        long size = Math.multiplyExact(elements, (long) bits);
        if (size % 8 != 0) {
            throw new ArithmeticException(size + " bits are no whole number of bytes");
        }
        return size / 8;
    }
}
