package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.Readback;
import java.util.Arrays;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * Moves the parameters of a training by their gradients, one step after the other. Confined to the training's thread.
 *
 * <p>What it keeps from step to step is the tensors of its {@link #state} and the number of updates, which the training counts
 * ({@link #goTo}): with the parameters, all later steps follow from these.
 */
interface Optimizer extends AutoCloseable {
    /**
     * Clips the gradients to a norm of {@code maxNorm} over all groups together, moves the values by one step and clears the
     * gradients. When the loss or the norm is not finite, values and state stay.
     *
     * @param sums the loss of the step and behind it the sums of its metrics, float64, in one dimension, on the device
     * @param maxNorm 0 leaves the gradients as they are
     * @param learningRate the learning rate of a group whose factor is 1
     * @return the result; on a GPU it is there when the device has come so far
     */
    AsyncResult clipAndStep(Tensor sums, double maxNorm, double learningRate);

    /**
     * What it keeps from step to step, by name: its own memory or views of it, of any type and shape. Copied elsewhere it is saved, and
     * written to with such a copy, followed by {@link #goTo}, another optimizer of the same kind, settings and parameters goes on from
     * there. A name begins with what the tensor is in PyTorch's words and goes on with the parameter that it belongs to, if it is a
     * single one: {@code exp_avg.model.norm.weight}. The views belong to the caller's scope.
     */
    Map<String, Tensor> state();

    /** Goes on as after so many updates; called once the state is that of then. */
    void goTo(int updates);

    @Override
    void close();

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

    /** The result of a step whose kernels may still be queued. */
    final class AsyncResult {
        private final Readback readback;

        /** @param readback of the sums and behind them the norm */
        AsyncResult(Readback readback) {
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
}
