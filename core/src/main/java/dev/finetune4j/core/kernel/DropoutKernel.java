package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** Drops elements by a counter-based generator, the same ones on every processor. Thread-safe. */
@FunctionalInterface
public interface DropoutKernel {
    /**
     * What a mask is made from.
     *
     * @param part upper word of the counter
     * @param module upper word of the counter
     * @param pass upper word of the counter
     * @param passOnDevice the same where a GPU reads it, int32, shape (1), so that a captured launch has another one each time;
     *     null where it gets {@code pass}
     * @param seed key of the generator
     * @param threshold 16 bits below it, unsigned, drop their element
     * @param scale factor on the others
     */
    record Mask(int part, int module, int pass, @Nullable Tensor passOnDevice, long seed, int threshold, float scale) {
        /** The same of another module. */
        Mask ofModule(int other) {
            return new Mask(part, other, pass, passOnDevice, seed, threshold, scale);
        }
    }

    /**
     * x times the mask.
     *
     * @param x contiguous
     * @param y of the shape and type of x, contiguous
     */
    void apply(Tensor x, Tensor y, Mask mask);
}
