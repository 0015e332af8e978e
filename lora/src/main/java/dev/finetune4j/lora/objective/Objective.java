package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.OptimizerBatch;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/**
 * What a training minimizes: forward pass, loss and gradient of a micro-batch, as a parameter of the training loop.
 *
 * <p>The loss of an optimizer step is the sum of the losses of its terms (target tokens, pairs, examples), divided by their
 * number in <em>all</em> micro-batches, so it does not change with the way a step is split; where terms do not count alike, a
 * weighted sum divided by the sum of the weights. The loop gives that as {@link #scale}, and adds up what {@link #forwardBackward} returns.
 *
 * <p>Stateless, so that of one objective several trainings may run at once, unless its own documentation says otherwise.
 */
public interface Objective {
    /** How many terms the loss of a batch is the sum of. */
    int terms(Batch batch);

    /** What all terms of a batch count together: their number, unless some count more than others. */
    default double weight(Batch batch) {
        return terms(batch);
    }

    /**
     * The factor on gradient and loss of one micro-batch of a step: one over the weight of all of them, on all ranks.
     *
     * @param microBatch which of them
     */
    default double scale(OptimizerBatch step, int microBatch) {
        return 1.0 / step.ofAllRanks().stream().mapToDouble(this::weight).sum();
    }

    /**
     * What {@link #forwardBackward} reads of a batch, on the model's device; the caller closes it.
     *
     * @param scale factor on gradient and loss
     * @param multiple the number of targets is filled up to a multiple of this by some that are not learned
     */
    DeviceBatch toDevice(CausalLM model, Batch batch, double scale, int multiple);

    /**
     * Forward and backward pass: adds the gradient of the scaled loss to that of everything that can be trained. Nothing waits
     * for the device.
     *
     * @return float64, shape (1 + 2 · metrics): the loss, scaled; then for each metric the sum of what it is the mean of, and
     *     their number. The caller's scope owns it
     */
    Tensor forwardBackward(CausalLM model, DeviceBatch batch);

    /**
     * Takes the part of this rank in a micro-batch of which it has no share: what the others wait for, where the losses of several ranks
     * depend on each other.
     */
    default void skip(CausalLM model) {}

    /** Whether the losses of several ranks depend on each other, so that all have to compute them at the same time. */
    default boolean needsAllRanks() {
        return false;
    }

    /** Called behind each {@link #forwardBackward} with its batch, which has what the pass has found; nothing waits for the device. */
    default void passed(DeviceBatch batch) {}

    /**
     * What it has found out so far and will use again, for a checkpoint: copies on the host by name.
     *
     * @return owned by the caller, who may close them; empty for an objective without a state
     */
    default Map<String, Tensor> findings() {
        return Map.of();
    }

    /**
     * Takes over what {@link #findings} gave in a training of the same data.
     *
     * @throws IllegalArgumentException if it was one of other data
     */
    default void restore(Map<String, Tensor> findings) {}

    /** Whether {@link #forwardBackward} reads nothing but the batch's tensors, so that a CUDA graph may be captured of it. */
    default boolean isCapturable() {
        return false;
    }

    /**
     * Judges a model by a batch, without gradients and dropout.
     *
     * @return (1 + 2 · evaluation metrics): the loss summed over the terms, each times its weight; then for each metric the sum of what it is the mean of, and
     *     their number
     */
    double[] evaluate(CausalLM model, Batch batch);

    /** Names of the means that {@link #evaluate} finds besides the loss; in TRL's words. */
    default List<String> evaluationMetrics() {
        return metrics();
    }

    /** Names of the means that it reports besides the loss, such as {@code rewards/margins}; in TRL's words. */
    default List<String> metrics() {
        return List.of();
    }

    /**
     * What the metrics of the first step, which were taken before its update, show to be wrong from the start: a text that ends
     * the training. Empty when nothing is.
     */
    default Optional<String> startProblem(Map<String, Double> metrics) {
        return Optional.empty();
    }

    /** Whether the targets are to be reproduced, so that the number of rows known by heart tells what was learned. */
    default boolean reproducesTargets() {
        return false;
    }
}
