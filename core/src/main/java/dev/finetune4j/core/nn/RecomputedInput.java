package dev.finetune4j.core.nn;

import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;

/**
 * The input of a layer that is recomputed instead of kept, apart from activation checkpointing of whole blocks: the operation that made it recomputes it in its own backward pass, which costs
 * next to nothing there, so that the layer that read it need not keep it.
 */
@FunctionalInterface
public interface RecomputedInput {
    /**
     * Asks for the activation; to be called in the backward pass of the one layer that read it.
     *
     * @param use gets the recomputed activation, later in the same backward pass
     */
    void then(Consumer<Tensor> use);
}
