package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** Losses over a vocabulary. Thread-safe. */
public interface LossKernels {
    /**
     * Adds the gradient of {@code scale} times the summed cross entropy to everything that the logits were made from.
     *
     * @param logits shape (n, V), with their graph; read by nobody else, because the gradients may take their place
     * @param labels int64, shape (n); {@link dev.finetune4j.core.Labels#IGNORE} makes no loss
     * @param scale factor on the loss, one float32 on the same device
     * @param cap bound that a hyperbolic tangent puts on the logits ({@code cap · tanh(logits / cap)}) before the loss; 0 for none
     * @return the loss of each row, not scaled, float32, shape (n)
     */
    default Tensor crossEntropyAndBackward(Tensor logits, Tensor labels, Tensor scale, double cap) {
        return crossEntropyAndBackward(logits, labels, null, scale, cap);
    }

    /**
     * The same for rows that do not all count alike.
     *
     * @param weights what the loss of each row is multiplied by, float32, shape (n); null where all count 1
     * @return the loss of each row times its weight, not scaled, float32, shape (n)
     */
    Tensor crossEntropyAndBackward(Tensor logits, Tensor labels, @Nullable Tensor weights, Tensor scale, double cap);

    /**
     * The cross entropy of each row without gradients, by the same sums.
     *
     * @param logits shape (n, V), read by nobody else, because they may be overwritten
     * @param labels int64, shape (n); {@link dev.finetune4j.core.Labels#IGNORE} makes no loss
     * @param cap bound that a hyperbolic tangent puts on the logits before the loss; 0 for none
     * @return float32, shape (n)
     */
    Tensor crossEntropy(Tensor logits, Tensor labels, double cap);
}
