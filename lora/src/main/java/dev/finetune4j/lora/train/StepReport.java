package dev.finetune4j.lora.train;

import java.time.Duration;
import java.util.Map;

/**
 * What one optimizer step did.
 *
 * @param step number of the step, from 1
 * @param totalSteps all steps of the training
 * @param epoch passes over the data so far, with fraction
 * @param loss of the objective; for supervised fine-tuning the mean over the step's target tokens of the negative
 *     log-probability, in nats
 * @param gradNorm norm of all gradients before clipping
 * @param learningRate the learning rate that the step used
 * @param metrics means that the objective reports besides the loss, by name, such as rewards and margins of preferences; empty
 *     for supervised fine-tuning
 * @param throughput how much went through the model
 * @param timing how long it took
 */
public record StepReport(
        int step,
        int totalSteps,
        double epoch,
        double loss,
        double gradNorm,
        double learningRate,
        Map<String, Double> metrics,
        Throughput throughput,
        Timing timing) {
    public StepReport {
        metrics = Map.copyOf(metrics);
    }

    /**
     * How much went through the model in a step.
     *
     * @param targetTokens tokens that were learned
     * @param tokens all tokens, without padding
     * @param tokensPerSecond {@code tokens} over the duration of the step
     */
    public record Throughput(int targetTokens, int tokens, double tokensPerSecond) {}

    /**
     * How long a training takes.
     *
     * @param elapsed time since it began
     * @param remaining estimate from the mean duration of the steps so far
     */
    public record Timing(Duration elapsed, Duration remaining) {}
}
