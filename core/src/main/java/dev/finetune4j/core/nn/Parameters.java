package dev.finetune4j.core.nn;

import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;

/** Reads tensors of a checkpoint as the parameters of a model. */
public final class Parameters {
    private Parameters() {}

    /**
     * Reads one tensor, converted to the placement's device and precision.
     *
     * @return a tensor that belongs to no scope: the caller owns it
     */
    public static Tensor load(WeightSource weights, String name, Placement placement) {
        try (TensorScope scope = new TensorScope()) {
            Tensor stored = weights.read(name);
            Tensor placed = Tensors.convert(
                    stored, placement.device(), placement.weights().scalarType());
            return scope.release(placed);
        }
    }
}
