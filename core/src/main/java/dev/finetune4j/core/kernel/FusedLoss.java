package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Cross entropy in two passes over the logits by a kernel of our own, whose gradients take the logits' place, so that no copy of
 * them in float32 is made.
 */
record FusedLoss(CrossEntropy kernel) implements LossKernels {
    /** What turns logits into their gradients on one sort of processor. */
    @FunctionalInterface
    interface CrossEntropy {
        /**
         * Writes {@code (softmax - onehot) · scale} over the logits.
         *
         * @param logits shape (n, V), contiguous, float32 or bfloat16
         * @param cap bound of the logits; 0 for none
         * @param losses float32, shape (n): gets the loss of each row, not scaled
         */
        void run(Tensor logits, Tensor labels, Tensor losses, Tensor scale, double cap);
    }

    @Override
    public Tensor crossEntropyAndBackward(Tensor logits, Tensor labels, Tensor scale, double cap) {
        if (!DeviceKernels.supports(Tensors.typeOf(logits))
                || !logits.is_contiguous()
                || logits.storage_offset() != 0) {
            return TorchLoss.INSTANCE.crossEntropyAndBackward(logits, labels, scale, cap);
        }
        Tensor values = logits.detach();
        Tensor losses = Tensors.empty(Tensors.deviceOf(logits), ScalarType.Float, logits.size(0));
        kernel.run(values, labels, losses, scale, cap);
        logits.backward(values, new BoolOptional(), false, new TensorArrayRefOptional());
        return losses.sum(new ScalarTypeOptional(ScalarType.Double));
    }
}
