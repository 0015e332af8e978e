package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;

/** The mask of dropout of one module in one pass. */
public interface DropoutMask {
    /** What the mask is made from, for kernels that make it where they need it. */
    DropoutKernel.Mask draw();

    /** x times the mask, a new tensor. */
    Tensor applyTo(Tensor x);
}
