/**
 * The native side: starting libtorch ({@link dev.finetune4j.core.tensor.TorchRuntime}), tensors, and the
 * ownership of native memory ({@link dev.finetune4j.core.tensor.TensorScope}).
 *
 * <p>bytedeco's {@code Tensor} is used directly inside the library; only the facade keeps it out of its signatures. Every
 * module may import this package; it imports nothing of the library but its exceptions. Read {@code TensorScope} first.
 */
@NullMarked
package dev.finetune4j.core.tensor;

import org.jspecify.annotations.NullMarked;
