package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

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
    public Tensor crossEntropyAndBackward(
            Tensor logits, Tensor labels, @Nullable Tensor weights, Tensor scale, double cap) {
        if (!isTaken(logits)) {
            return TorchLoss.INSTANCE.crossEntropyAndBackward(logits, labels, weights, scale, cap);
        }
        Tensor values = logits.detach();
        Tensor losses = Tensors.empty(Tensors.deviceOf(logits), ScalarType.Float, logits.size(0));
        kernel.run(values, labels, losses, scale, cap);
        if (weights != null) { // Few trainings have them: the kernel need not know.
            // With a version of its own, since autograd must not take it for a change of the logits.
            values.variable_data().mul_(weights.unsqueeze(1));
            losses.mul_(weights);
        }
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
