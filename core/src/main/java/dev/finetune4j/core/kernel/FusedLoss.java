package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.BoolOptional;
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
        if (!isTaken(logits)) {
            return TorchLoss.INSTANCE.crossEntropyAndBackward(logits, labels, scale, cap);
        }
        Tensor values = logits.detach();
        Tensor losses = Tensors.empty(Tensors.deviceOf(logits), ScalarType.Float, logits.size(0));
        kernel.run(values, labels, losses, scale, cap);
        logits.backward(values, new BoolOptional(), false, new TensorArrayRefOptional());
        return losses;
    }

    @Override
    public Tensor crossEntropy(Tensor logits, Tensor labels, double cap) {
        if (!isTaken(logits)) {
            return TorchLoss.INSTANCE.crossEntropy(logits, labels, cap);
        }
        Tensor losses = Tensors.empty(Tensors.deviceOf(logits), ScalarType.Float, logits.size(0));
        Tensor unused = Tensors.ones(Tensors.deviceOf(logits), ScalarType.Float, 1);
        kernel.run(logits, labels, losses, unused, cap);
        return losses;
    }

    private static boolean isTaken(Tensor logits) {
        return DeviceKernels.supports(Tensors.typeOf(logits)) && logits.is_contiguous() && logits.storage_offset() == 0;
    }
}
