package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWState;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWStep;
import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.kernel.Readback;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * AdamW: Adam with decoupled weight decay (<a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019</a>), in
 * the order of operations of PyTorch. Each group of parameters has its own learning
 * rate and may go without weight decay; a step is one update per group, one pass over its values where there
 * are kernels for it; on a CUDA GPU nobody waits for it.
 */
final class AdamW implements AutoCloseable {
    private final FlatParameters parameters;
    private final double weightDecay;
    private final TrainingSettings.Adam adam;
    private final Tensor expAvg;
    private final Tensor expAvgSq;
    private int steps;

    AdamW(FlatParameters parameters, double weightDecay, TrainingSettings.Adam adam) {
        this.parameters = parameters;
        this.weightDecay = weightDecay;
        this.adam = adam;
        try (TensorScope scope = new TensorScope()) {
            expAvg = torch.zeros_like(parameters.values());
            expAvgSq = torch.zeros_like(parameters.values());
            scope.release(expAvg);
            scope.release(expAvgSq);
        }
    }

    /**
     * Loss and gradient norm of an optimizer step.
     *
     * @param sums the loss and behind it the sums of the metrics, as they were handed over
     * @param norm of all gradients together, before they were clipped
     */
    @SuppressWarnings("ArrayRecordComponent") // read once, compared by nobody
    record StepResult(double[] sums, double norm) {
        double loss() {
            return sums[0];
        }

        /** Whether loss and norm are numbers; if not, nothing was changed. */
        boolean isFinite() {
            return Double.isFinite(loss()) && Double.isFinite(norm);
        }
    }

    /**
     * Clips the gradients to a norm of {@code maxNorm} over all groups together, moves the values by one step and clears the
     * gradients. When the loss or the norm is not finite, the values stay.
     *
     * @param sums the loss of the step and behind it the sums of its metrics, float64, in one dimension, on the device
     * @param maxNorm 0 leaves the gradients as they are
     * @param learningRate the learning rate of a group whose factor is 1
     * @return the result; on a GPU it is there when the device has come so far
     */
    AsyncResult clipAndStep(Tensor sums, double maxNorm, double learningRate) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor norm = torch.linalg_vector_norm(parameters.gradients());
            Tensor sumsAndNorm =
                    torch.cat(new TensorVector(sums, norm.to(ScalarType.Double).view(1)), 0);
            steps++;
            DeviceKernels kernels = DeviceKernels.of(sumsAndNorm);
            GradientClip clip = new GradientClip(sums.narrow(0, 0, 1), norm, maxNorm);
            for (FlatParameters.Slice slice : parameters.slices()) {
                kernels.optimizer().adamw(state(slice), hyperparameters(slice, learningRate), clip);
            }
            return new AsyncResult(kernels.readback(sumsAndNorm));
        }
    }

    private AdamWState state(FlatParameters.Slice slice) {
        Tensor copies = parameters.computeCopies();
        return new AdamWState(
                slice.of(parameters.values()),
                slice.of(parameters.gradients()),
                copies == null ? null : slice.of(copies),
                slice.of(expAvg),
                slice.of(expAvgSq));
    }

    private AdamWStep hyperparameters(FlatParameters.Slice slice, double learningRate) {
        return new AdamWStep(
                learningRate * slice.group().learningRateFactor(),
                slice.group().weightDecay() ? weightDecay : 0,
                adam.beta1(),
                adam.beta2(),
                adam.epsilon(),
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
                double[] sumsAndNorm = readback.get();
                int last = sumsAndNorm.length - 1;
                return new StepResult(Arrays.copyOf(sumsAndNorm, last), sumsAndNorm[last]);
            }
        }
    }

    /** The exponential average of the gradients, in the order of the parameters. */
    Tensor expAvg() {
        return expAvg;
    }

    /** The exponential average of their squares. */
    Tensor expAvgSq() {
        return expAvgSq;
    }

    /** Goes on as after so many steps, with the moments of then. */
    void goTo(int done) {
        steps = done;
    }

    @Override
    public void close() {
        expAvg.close();
        expAvgSq.close();
    }
}
