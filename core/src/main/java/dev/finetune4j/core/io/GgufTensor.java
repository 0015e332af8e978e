package dev.finetune4j.core.io;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.Arrays;
import java.util.List;

/**
 * A tensor of a GGUF file to be written, of one part or of several of one shape, of which one at a time is in memory.
 *
 * @param name in the file
 * @param type number format in the file
 * @param parts float32, each made when it is written, inside a {@link TensorScope}
 * @param stacked whether the parts lie behind one another in an outermost dimension of their own
 */
public record GgufTensor(String name, GgmlType type, List<LazyTensor> parts, boolean stacked) {
    private static final int MAX_NAME_BYTES = 64;

    /**
     * A tensor.
     *
     * @throws IllegalArgumentException if the values are not float32, do not fill whole blocks, or differ in shape, or if the name is too
     *     long
     */
    public GgufTensor {
        parts = List.copyOf(parts);
        if (parts.isEmpty() || (!stacked && parts.size() != 1)) {
            throw new IllegalArgumentException(
                    "tensor " + name + " has " + parts.size() + " parts, expected " + (stacked ? "some" : "one"));
        }
        long[] each = parts.get(0).shape();
        for (LazyTensor part : parts) {
            if (part.dtype() != Dtype.F32) {
                throw new IllegalArgumentException("tensor " + name + " is " + part.dtype() + ", expected F32");
            }
            if (!Arrays.equals(part.shape(), each)) {
                throw new IllegalArgumentException("tensor " + name + " has parts of the shapes "
                        + Arrays.toString(each) + " and " + Arrays.toString(part.shape()) + ", expected one shape");
            }
        }
        int dimensions = each.length + (stacked ? 1 : 0);
        if (each.length < 1 || dimensions > 4 || !type.fitsRowsOf(each[each.length - 1])) {
            throw new IllegalArgumentException(
                    "tensor " + name + " of shape " + Arrays.toString(each) + " cannot be stored as " + type);
        }
        if (name.length() >= MAX_NAME_BYTES) {
            throw new IllegalArgumentException("the name " + name + " is longer than the format allows");
        }
    }

    /** A tensor of one part. */
    public GgufTensor(String name, GgmlType type, LazyTensor values) {
        this(name, type, List.of(values), false);
    }

    /** Outermost first. */
    long[] shape() {
        long[] each = parts.get(0).shape();
        if (!stacked) {
            return each;
        }
        long[] shape = new long[each.length + 1];
        shape[0] = parts.size();
        System.arraycopy(each, 0, shape, 1, each.length);
        return shape;
    }

    long bytes() {
        return type.bytes(parts.get(0).elements()) * parts.size();
    }
}
