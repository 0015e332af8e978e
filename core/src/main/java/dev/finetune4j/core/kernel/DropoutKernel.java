package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;

/** Drops elements by a counter-based generator, the same ones on every processor. Thread-safe. */
@FunctionalInterface
public interface DropoutKernel {
    /**
     * What a mask is made from.
     *
     * @param part upper word of the counter
     * @param module upper word of the counter
     * @param pass upper word of the counter
     * @param seed key of the generator
     * @param threshold words below it, unsigned, drop their elements
     * @param scale factor on the others
     */
    record Mask(int part, int module, int pass, long seed, int threshold, float scale) {}

    /**
     * x times the mask.
     *
     * @param x contiguous
     * @param y of the shape and type of x, contiguous
     */
    void apply(Tensor x, Tensor y, Mask mask);
}
