package dev.finetune4j.core.nn;

import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.Placement;
import java.util.ArrayList;
import java.util.List;

/**
 * Makes each projection of a model straight from its file, so that a quantized model never stands in memory in 16 bit as
 * a whole.
 */
public interface LinearFactory {
    /**
     * Reads the tensors of one projection and makes it.
     *
     * @param spec what to make; its shapes have been checked against the file
     * @param weights the checkpoint
     * @param placement where it lives and computes
     * @throws dev.finetune4j.core.ModelFileException when a tensor cannot be read
     */
    Linear create(LinearSpec spec, WeightSource weights, Placement placement);

    /**
     * The same for projections of one shape and without biases that belong together, such as those of all experts; their weights may
     * lie behind one another in memory then, so that {@link Linear#stackedWith} has them as one tensor.
     *
     * @param specs in order
     */
    default List<Linear> createStacked(List<LinearSpec> specs, WeightSource weights, Placement placement) {
        List<Linear> linears = new ArrayList<>();
        try {
            specs.forEach(spec -> linears.add(create(spec, weights, placement)));
            return linears;
        } catch (RuntimeException | Error e) {
            linears.forEach(Linear::close);
            throw e;
        }
    }

    /**
     * Whether this factory reads a weight that the checkpoint holds as 4-bit codes under the given tensor name, together
     * with its companions ({@code <name>.absmax} and so on). The factory for dense weights does not.
     */
    default boolean readsPacked(LinearSpec spec, WeightSource weights) {
        return false;
    }

    /** The factory for weights that stay as they are in the file, converted to the model's precision. */
    static LinearFactory dense() {
        return new DenseLinearFactory();
    }
}
