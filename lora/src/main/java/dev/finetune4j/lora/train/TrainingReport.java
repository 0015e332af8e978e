package dev.finetune4j.lora.train;

import java.time.Duration;
import java.util.List;

/**
 * What a training did.
 *
 * @param outcome whether it ran to its last step
 * @param steps one report per optimizer step, in order
 * @param trainableParameters number of values that were trained
 * @param duration from the first step to the end of the last
 */
public record TrainingReport(Outcome outcome, List<StepReport> steps, long trainableParameters, Duration duration) {
    /** How a training ended. */
    public enum Outcome {
        /** All steps were done. */
        COMPLETED,
        /** It was cancelled; the model is as the last finished step left it. */
        CANCELLED
    }

    public TrainingReport {
        steps = List.copyOf(steps);
    }

    /** The loss of the last step, or NaN when no step was finished. */
    public double finalLoss() {
        return steps.isEmpty() ? Double.NaN : steps.get(steps.size() - 1).loss();
    }
}
