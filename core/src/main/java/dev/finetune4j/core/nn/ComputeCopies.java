package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.Tensors;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Low-precision compute copies of float32 master weights. The optimizer that moves the masters keeps the copies up to date, so
 * that nobody else has to convert them at each use. Thread-safe.
 */
public final class ComputeCopies {
    private static final Map<Tensor, Tensor> COPIES = Collections.synchronizedMap(new IdentityHashMap<>());

    private ComputeCopies() {}

    /** The values of a tensor in the given type: its copy, itself, or a conversion that the caller's scope owns. */
    public static Tensor of(Tensor tensor, ScalarType type) {
        @Nullable Tensor copy = COPIES.get(tensor);
        return copy != null && Tensors.typeOf(copy) == type.intern() ? copy : Tensors.as(tensor, type);
    }

    /**
     * Makes a copy known; it stays the caller's, who removes it before it is closed.
     *
     * @param copy of the tensor's shape, with its values from now on
     */
    public static void put(Tensor tensor, Tensor copy) {
        COPIES.put(tensor, copy);
    }

    /** Forgets the copy of a tensor, if there is one. */
    public static void remove(Tensor tensor) {
        COPIES.remove(tensor);
    }
}
