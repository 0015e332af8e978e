package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.kernel.Readback;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.train.Optimizer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The step of an optimizer: clips the gradients by their norm, moves the parameters by the rule of the optimizer, clears the
 * gradients. Each group of parameters has its own learning rate and may go without weight decay. On a CUDA GPU nobody waits
 * for it. Confined to the training's thread.
 *
 * <p>What is kept from step to step is the tensors of its {@link #state} and the number of updates, which the training counts
 * ({@link #goTo}): with the parameters, all later steps follow from these.
 */
final class GradientStep implements AutoCloseable {
    private final FlatParameters parameters;
    private final double weightDecay;
    private final UpdateRule rule;
    private int steps;

    /** @param weightDecay decoupled, of the groups that decay; 0 for none */
    GradientStep(FlatParameters parameters, double weightDecay, Optimizer optimizer) {
        this.parameters = parameters;
        this.weightDecay = weightDecay;
        this.rule = UpdateRule.of(optimizer, parameters);
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
            GradientClip clip = new GradientClip(sums.narrow(0, 0, 1), norm, maxNorm);
            for (FlatParameters.Slice slice : parameters.slices()) {
                rule.update(
                        slice,
                        new UpdateRule.Step(
                                learningRate * slice.group().learningRateFactor(),
                                slice.group().weightDecay() ? weightDecay : 0,
                                steps),
                        clip);
            }
            return new AsyncResult(DeviceKernels.of(sumsAndNorm).readback(sumsAndNorm));
        }
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

    /**
     * What the optimizer keeps from step to step, by names such as {@code exp_avg.model.norm.weight}: what it is ({@link
     * UpdateRule#state}) and the parameter that it belongs to. The tensors are views of its own memory, of any type and shape, and
     * belong to the caller's scope. Copied elsewhere they are saved; written to with such copies, followed by {@link #goTo}, another
     * optimizer of the same kind, settings and parameters goes on from there.
     */
    Map<String, Tensor> state() {
        Map<String, Tensor> all = new LinkedHashMap<>();
        for (FlatParameters.Slot slot : parameters.slots()) {
            rule.state(slot).forEach((name, tensor) -> all.put(name + "." + slot.name(), tensor));
        }
        return all;
    }

    /** The same of one parameter, without its name. */
    Map<String, Tensor> state(FlatParameters.Slot slot) {
        return rule.state(slot);
    }

    /** Goes on as after so many updates; called once the state is that of then. */
    void goTo(int updates) {
        steps = updates;
    }

    @Override
    public void close() {
        rule.close();
    }
}
