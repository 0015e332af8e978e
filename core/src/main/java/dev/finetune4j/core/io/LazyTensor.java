package dev.finetune4j.core.io;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A tensor whose type and shape are known before its values are there. A file's header comes before its data, so this
 * is what it takes to write a model while only one of its tensors is in memory.
 */
public final class LazyTensor {
    private final Dtype dtype;
    private final long[] shape;
    private final Supplier<Tensor> values;

    private LazyTensor(Dtype dtype, long[] shape, Supplier<Tensor> values) {
        this.dtype = dtype;
        this.shape = shape;
        this.values = values;
    }

    /**
     * Describes a tensor to be made when its turn comes.
     *
     * @param type the type that the tensor will have
     * @param shape the shape that it will have, outermost first
     * @param values makes the tensor, on any device; called once per write, inside a {@link TensorScope} that frees
     *     what is made in it as soon as the tensor has been written
     * @throws IllegalArgumentException if safetensors has no such type or the shape is not possible
     */
    public static LazyTensor of(ScalarType type, long[] shape, Supplier<Tensor> values) {
        Dtype dtype = Dtype.of(type)
                .orElseThrow(() -> new IllegalArgumentException("the type " + type.intern()
                        + " cannot be stored in a safetensors file; convert the tensor, expected one of "
                        + Arrays.toString(Dtype.values())));
        for (long extent : shape) {
            if (extent < 0) {
                throw new IllegalArgumentException(
                        "the shape " + Arrays.toString(shape) + " has a negative extent, expected 0 or more");
            }
        }
        try {
            dtype.bytes(shape);
        } catch (ArithmeticException e) {
            throw new IllegalArgumentException(
                    "the shape " + Arrays.toString(shape) + " of type " + dtype + " has no possible size", e);
        }
        return new LazyTensor(dtype, shape.clone(), values);
    }

    /**
     * Wraps a tensor that is there already. It stays the caller's and has to stay open until it is written.
     *
     * @throws IllegalArgumentException if the tensor is closed or undefined, or safetensors has no such type
     */
    public static LazyTensor of(Tensor tensor) {
        if (tensor.isNull() || !tensor.defined()) {
            throw new IllegalArgumentException("the tensor is closed or undefined; write it before it is freed");
        }
        return of(tensor.scalar_type(), tensor.shape(), () -> tensor);
    }

    /**
     * Describes what is made of this tensor when its turn comes, of the same type.
     *
     * @param newShape the shape of what is made
     */
    public LazyTensor then(UnaryOperator<Tensor> change, long... newShape) {
        return new LazyTensor(dtype, newShape.clone(), () -> change.apply(values.get()));
    }

    Dtype dtype() {
        return dtype;
    }

    /** The shape that it will have, outermost first. */
    public long[] shape() {
        return shape.clone();
    }

    long bytes() {
        return dtype.bytes(shape);
    }

    long elements() {
        return bytes() * Byte.SIZE / dtype.bits();
    }

    /**
     * The values on the CPU, row-major and without gaps. What is made belongs to the scope that the caller has
     * opened.
     *
     * @throws IllegalArgumentException if the tensor is not what was announced or cannot be copied
     */
    Tensor materialize(String name) {
        Tensor made = values.get();
        if (made == null || made.isNull() || !made.defined()) {
            throw new IllegalArgumentException(
                    "tensor " + name + " is closed or undefined; write it before it is freed");
        }
        Optional<Dtype> found = Dtype.of(made.scalar_type());
        if (!found.equals(Optional.of(dtype)) || !Arrays.equals(made.shape(), shape)) {
            throw new IllegalArgumentException("tensor " + name + " is "
                    + found.map(Dtype::name).orElse("of another type") + Arrays.toString(made.shape())
                    + ", but was announced as " + dtype + Arrays.toString(shape));
        }
        try {
            return made.detach().cpu().resolve_conj().resolve_neg().contiguous();
        } catch (RuntimeException e) {
            throw new IllegalArgumentException(
                    "tensor " + name + " cannot be copied to the CPU as a dense array; make it dense and try again", e);
        }
    }
}
