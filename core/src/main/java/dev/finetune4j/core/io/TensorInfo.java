package dev.finetune4j.core.io;

import java.util.Arrays;
import java.util.Objects;

/**
 * What the header of a safetensors file says of one tensor. Immutable: the shape is copied on the way in and out.
 *
 * @param name the tensor's name
 * @param dtype its number format
 * @param shape its extents, outermost first; empty for a single number
 * @param begin its first byte, counted from the end of the header
 * @param end the byte after its last, counted from the end of the header
 */
public record TensorInfo(String name, Dtype dtype, long[] shape, long begin, long end) {
    public TensorInfo {
        shape = shape.clone();
    }

    @Override
    public long[] shape() {
        return shape.clone();
    }

    /** Bytes of the tensor in the file. */
    public long bytes() {
        return end - begin;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof TensorInfo that
                && name.equals(that.name)
                && dtype == that.dtype
                && Arrays.equals(shape, that.shape)
                && begin == that.begin
                && end == that.end;
    }

    @Override
    public int hashCode() {
        return Objects.hash(name, dtype, Arrays.hashCode(shape), begin, end);
    }

    @Override
    public String toString() {
        return name + " " + dtype + Arrays.toString(shape) + " at " + begin + ".." + end;
    }
}
