package dev.finetune4j.lora.train;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWState;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWStep;
import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.kernel.Readback;
import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * AdamW: Adam with decoupled weight decay (<a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019</a>), in
 * the order of operations of PyTorch, with β = (0.9, 0.999) and ε = 1e-8. Each group of parameters has its own learning
 * rate and may go without weight decay; a step is one update per group, one pass over its values where there
 * are kernels for it; on a CUDA GPU nobody waits for it.
 */
final class AdamW implements AutoCloseable {
    private static final double BETA1 = 0.9;
    private static final double BETA2 = 0.999;
    private static final double EPSILON = 1e-8;

    private final FlatParameters parameters;
    private final double weightDecay;
    private final Tensor mean;
    private final Tensor variance;
    private int steps;

    AdamW(FlatParameters parameters, double weightDecay) {
        this.parameters = parameters;
        this.weightDecay = weightDecay;
        try (TensorScope scope = new TensorScope()) {
            mean = torch.zeros_like(parameters.values());
            variance = torch.zeros_like(parameters.values());
            scope.release(mean);
            scope.release(variance);
        }
    }

    /**
     * Loss and gradient norm of an optimizer step.
     *
     * @param loss the loss that was handed over
     * @param norm of all gradients together, before they were scaled down
     */
    record StepResult(double loss, double norm) {
        /** Whether both are numbers; if not, nothing was changed. */
        boolean isFinite() {
            return Double.isFinite(loss) && Double.isFinite(norm);
        }
    }

    /**
     * Scales the gradients down so that their norm, over all groups together, is at most {@code maxNorm}, moves the values
     * by one step and clears the gradients. When the loss or the norm is not finite, the values stay.
     *
     * @param loss of the step, float64, shape (1), on the device
     * @param maxNorm 0 leaves the gradients as they are
     * @param learningRate the learning rate of a group whose factor is 1
     * @return the result; on a GPU it is there when the device has come so far
     */
    AsyncResult step(Tensor loss, double maxNorm, double learningRate) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor norm = torch.linalg_vector_norm(parameters.gradients());
            Tensor both =
                    torch.cat(new TensorVector(loss, norm.to(ScalarType.Double).view(1)), 0);
            steps++;
            DeviceKernels kernels = DeviceKernels.of(both);
            GradientClip clip = new GradientClip(loss, norm, maxNorm);
            for (FlatParameters.Slice slice : parameters.slices()) {
                kernels.optimizer().adamw(state(slice), hyperparameters(slice, learningRate), clip);
            }
            return new AsyncResult(kernels.readback(both));
        }
    }

    private AdamWState state(FlatParameters.Slice slice) {
        Tensor copies = parameters.computeCopies();
        return new AdamWState(
                slice.of(parameters.values()),
                slice.of(parameters.gradients()),
                copies == null ? null : slice.of(copies),
                slice.of(mean),
                slice.of(variance));
    }

    private AdamWStep hyperparameters(FlatParameters.Slice slice, double learningRate) {
        return new AdamWStep(
                learningRate * slice.group().learningRateFactor(),
                slice.group().weightDecay() ? weightDecay : 0,
                BETA1,
                BETA2,
                EPSILON,
                steps);
    }

    /** The result of a step whose kernels may still be queued. */
    static final class AsyncResult {
        private final Readback readback;

        private AsyncResult(Readback readback) {
            this.readback = readback;
        }

        /** Waits for the step; to be called once. */
        StepResult get() {
            try (readback) {
                double[] both = readback.get();
                return new StepResult(both[0], both[1]);
            }
        }
    }

    @Override
    public void close() {
        mean.close();
        variance.close();
    }
}
