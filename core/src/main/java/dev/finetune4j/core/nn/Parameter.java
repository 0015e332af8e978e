package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A trainable tensor: its float32 master weights and, while a training computes in lower precision, their compute copy. The
 * optimizer that moves the master keeps the copy up to date, so that nobody else has to convert it at each use. Whoever has the
 * parameter finds both; its name is that of the map in which it stands.
 */
public final class Parameter {
    private final Tensor master;
    private volatile @Nullable Tensor computeCopy;

    /** @param master float32; stays its owner's */
    public Parameter(Tensor master) {
        this.master = master;
    }

    /** Tensors of which nobody reads a compute copy, as parameters under the same names. */
    public static Map<String, Parameter> named(Map<String, Tensor> tensors) {
        Map<String, Parameter> parameters = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> parameters.put(name, new Parameter(tensor)));
        return parameters;
    }

    /** The float32 weights, which have the gradient. */
    public Tensor master() {
        return master;
    }

    /** The values in a type: the compute copy, the master itself, or a conversion that the caller's scope owns. */
    public Tensor as(ScalarType type) {
        @Nullable Tensor copy = computeCopy;
        return copy != null && Tensors.typeOf(copy) == type.intern() ? copy : Tensors.as(master, type);
    }

    /** Notes that the master's values have changed by a kernel that libtorch knows nothing of, for those who keep copies of them. */
    public void changed() {
        try (TensorScope scope = new TensorScope()) {
            master.unsafeGetTensorImpl().bump_version();
        }
    }

    /**
     * Lends a compute copy; null takes it back, before it is closed.
     *
     * @param copy of the master's shape, with its values from now on
     */
    public void setComputeCopy(@Nullable Tensor copy) {
        computeCopy = copy;
    }
}
