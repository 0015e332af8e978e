package dev.finetune4j.core.io;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.Arrays;

/**
 * A tensor of a GGUF file to be written.
 *
 * @param name in the file
 * @param type number format in the file
 * @param values float32, made when they are written, inside a {@link TensorScope}
 */
public record GgufTensor(String name, GgmlType type, LazyTensor values) {
    private static final int MAX_NAME_BYTES = 64;

    /** @throws IllegalArgumentException if the values are not float32, do not fill whole blocks, or the name is too long */
    public GgufTensor {
        long[] shape = values.shape();
        if (values.dtype() != Dtype.F32) {
            throw new IllegalArgumentException("tensor " + name + " is " + values.dtype() + ", expected F32");
        }
        if (shape.length < 1 || shape.length > 4 || !type.fitsRowsOf(shape[shape.length - 1])) {
            throw new IllegalArgumentException(
                    "tensor " + name + " of shape " + Arrays.toString(shape) + " cannot be stored as " + type);
        }
        if (name.length() >= MAX_NAME_BYTES) {
            throw new IllegalArgumentException("the name " + name + " is longer than the format allows");
        }
    }

    long bytes() {
        return type.bytes(values.elements());
    }
}
