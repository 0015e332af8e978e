package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * An intermediate result that goes into one operation.
 *
 * @param tensor the result
 * @param later brings it once more in the backward pass; null when whoever needs it there must keep it
 */
record Remade(Tensor tensor, @Nullable BroughtBack later) {}
