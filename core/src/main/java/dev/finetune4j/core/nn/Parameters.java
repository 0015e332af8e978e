package dev.finetune4j.core.nn;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.EnumSet;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/** Reads tensors of a checkpoint as the parameters of a model. */
public final class Parameters {
    private Parameters() {}

    private static final Set<Dtype> NUMBERS = EnumSet.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16);

    /**
     * Reads one tensor, converted to the placement's device and precision.
     *
     * @throws ModelFileException when the file holds it in a type that needs more than a conversion, such as float8 codes
     * @return a tensor that belongs to no scope: the caller owns it
     */
    public static Tensor load(WeightSource weights, String name, Placement placement) {
        try (TensorScope scope = new TensorScope()) {
            Dtype type = weights.info(name).dtype();
            if (!NUMBERS.contains(type)) {
                throw new ModelFileException("tensor " + name + " is stored as " + type
                        + ", but weights are read as F32, F16, BF16 or F64; use the checkpoint in one of these");
            }
            Tensor stored = weights.read(name);
            Tensor placed = Tensors.convert(stored, placement.device(), Tensors.typeOf(placement.weights()));
            return scope.release(placed);
        }
    }
}
