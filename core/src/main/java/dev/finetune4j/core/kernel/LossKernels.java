package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;

/** Losses over a vocabulary. Thread-safe. */
public interface LossKernels {
    /**
     * Adds the gradient of {@code scale} times the summed cross entropy to everything that the logits were made from.
     *
     * @param logits shape (n, V), with their graph; read by nobody else, because the gradients may take their place
     * @param labels int64, shape (n); {@link dev.finetune4j.core.Labels#IGNORE} makes no loss
     * @param scale factor on the loss, one float32 on the same device
     * @param cap bound that a hyperbolic tangent puts on the logits ({@code cap · tanh(logits / cap)}) before the loss; 0 for none
     * @return the loss summed over the rows, not scaled, float64, a scalar
     */
    Tensor crossEntropyAndBackward(Tensor logits, Tensor labels, Tensor scale, double cap);
}
