package dev.finetune4j.core.nn;

import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * An intermediate result that may be made again from what is kept for its backward pass, until that has run: who needs it in
 * a later backward pass may ask for it then instead of keeping it.
 *
 * @param tensor the result
 * @param again makes it once more; null when whoever needs it must keep it
 */
record Remade(Tensor tensor, @Nullable Supplier<Tensor> again) {}
