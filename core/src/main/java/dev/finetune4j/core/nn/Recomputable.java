package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * An intermediate result that goes into one operation.
 *
 * @param tensor the result
 * @param recomputation brings it once more in the backward pass; null when whoever needs it there must keep it
 */
record Recomputable(Tensor tensor, @Nullable Recomputation recomputation) {}
