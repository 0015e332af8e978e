package dev.finetune4j.core.nn;

import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;

/**
 * Where an activation comes from once more: the operation that made it recomputes it in its own backward pass, which costs
 * next to nothing there, so that the layer that read it need not keep it.
 */
@FunctionalInterface
public interface Recomputation {
    /**
     * Asks for the activation; to be called in the backward pass of the one layer that read it.
     *
     * @param use gets the recomputed activation, later in the same backward pass
     */
    void then(Consumer<Tensor> use);
}
