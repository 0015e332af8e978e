package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The update of trained values, one pass over memory where there is a kernel. Thread-safe. */
public interface OptimizerKernels {
    /**
     * What AdamW updates. All of one length, contiguous and float32 if nothing else is said.
     *
     * @param values the master values
     * @param computeCopies the values in bfloat16, in which they take part in products; null for none
     * @param mean exponential average of the gradients
     * @param variance exponential average of their squares
     */
    record AdamWState(
            Tensor values, Tensor gradients, @Nullable Tensor computeCopies, Tensor mean, Tensor variance) {}

    /**
     * The numbers of a step.
     *
     * @param weightDecay decoupled; 0 for none
     * @param step number of the step, from 1
     */
    record AdamWStep(double learningRate, double weightDecay, double beta1, double beta2, double epsilon, int step) {
        /** What decoupled weight decay leaves of the values, {@code 1 - rate · decay}. */
        public double decayFactor() {
            return 1 - learningRate * weightDecay;
        }

        /** The learning rate with the correction of the mean's bias. */
        public double correctedRate() {
            return learningRate / (1 - Math.pow(beta1, step));
        }

        /** The correction of the bias of the variance's root. */
        public double rootCorrection() {
            return Math.sqrt(1 - Math.pow(beta2, step));
        }
    }

    /**
     * The clipping of gradients by their norm. Both tensors are on the device of the values.
     *
     * @param loss of the step, float64, shape (1)
     * @param norm of all gradients together, float32, a scalar
     * @param maxNorm 0 leaves the gradients as they are
     */
    record GradientClip(Tensor loss, Tensor norm, double maxNorm) {
        /** The factor on gradients of a norm, at most 1. */
        double factor(double found) {
            return maxNorm > 0 ? Math.min(1, maxNorm / (found + 1e-6)) : 1;
        }
    }

    /**
     * One step of AdamW (<a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019</a>) in the order of operations
     * of PyTorch, after which the gradients are zeros. When the loss or the norm is not finite, nothing changes.
     */
    void adamw(AdamWState state, AdamWStep step, GradientClip clip);
}
