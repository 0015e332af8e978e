package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * An activation that one layer reads, and whether the backward pass recomputes it.
 *
 * @param tensor the activation
 * @param recomputation hands it out once more in the backward pass; null when who needs it there must keep it
 */
record LayerInput(Tensor tensor, @Nullable Recomputation recomputation) {}
