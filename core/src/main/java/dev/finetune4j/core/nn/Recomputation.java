package dev.finetune4j.core.nn;

import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;

/**
 * An input that need not be kept for the backward pass, because the operation that it came from makes it once more in its
 * own backward pass, where it costs next to nothing.
 */
@FunctionalInterface
public interface Recomputation {
    /**
     * Asks for the input; to be called in the backward pass of the one operation that it went into.
     *
     * @param use gets the input later in the same backward pass
     */
    void then(Consumer<Tensor> use);
}
