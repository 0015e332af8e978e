package dev.finetune4j.lora.train;

import dev.finetune4j.data.DataReport;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What a training did.
 *
 * @param outcome whether it ran to its last step
 * @param steps one report per optimizer step, in order
 * @param skipped steps whose loss or gradients were no numbers, in order; nothing was trained by them, and they are not among the {@code
 *     steps}
 * @param evaluations of the held-out examples, in order; empty when there are none
 * @param trainableParameters number of values that were trained
 * @param duration from the first step to the end of the last
 * @param firstRows the loss on the rows of the first step, before and afterwards
 * @param data what became of the data set; null only when it was not said
 * @param warnings why the training cannot have learned what it should, one sentence for each cause; empty when nothing speaks
 *     against it. They are in the log too
 */
public record TrainingReport(
        Outcome outcome,
        List<StepReport> steps,
        List<NonFinite> skipped,
        List<Evaluation> evaluations,
        long trainableParameters,
        Duration duration,
        Losses firstRows,
        @Nullable DataReport data,
        List<String> warnings) {
    /** How a training ended. */
    public enum Outcome {
        /** All steps were done. */
        COMPLETED,
        /** It was stopped; the model is as the last finished step left it. */
        STOPPED
    }

    /**
     * The loss of the objective on the same rows, for supervised fine-tuning in nats per target token; NaN when no step was finished, or
     * memory did not suffice to measure it.
     *
     * @param base of the base model
     * @param tuned of the model as the last step left it, without dropout
     */
    public record Losses(double base, double tuned) {}

    /**
     * What held-out examples show in the course of a training, without dropout.
     *
     * @param step number of the step after which it was measured, from 1
     * @param totalSteps all steps of the training
     * @param epoch passes over the training data so far, with fraction
     * @param loss mean over all terms of the objective; for supervised fine-tuning over the target tokens, in nats. NaN when memory did
     *     not suffice to measure it, or there are no held-out examples
     * @param metrics other means over the same examples, by TRL's names: {@code mean_token_accuracy}, the share of target tokens that
     *     the model would have chosen, for supervised fine-tuning; {@code rewards/accuracies}, the share of pairs whose chosen answer it
     *     rewards more, and rewards and margins for preferences; and {@code exam/NAME}, the share of right answers to the questions that
     *     were given to the builder
     * @param terms how many the loss is the mean of
     * @param duration how long it took
     */
    public record Evaluation(
            int step,
            int totalSteps,
            double epoch,
            double loss,
            Map<String, Double> metrics,
            long terms,
            Duration duration) {
        public Evaluation {
            metrics = Map.copyOf(metrics);
        }

        /** Perplexity of the target tokens: e to the loss. */
        public double perplexity() {
            return Math.exp(loss);
        }
    }

    /**
     * A step whose loss or gradients were no numbers, so that it trained nothing.
     *
     * @param step its number, from 1
     * @param loss as {@link StepReport#loss}
     * @param gradNorm as {@link StepReport#gradNorm}
     * @param sequences the token ids of the step's sequences, in order
     */
    public record NonFinite(int step, double loss, double gradNorm, List<List<Integer>> sequences) {
        public NonFinite {
            sequences = sequences.stream().map(List::copyOf).toList();
        }
    }

    /**
     * What a training has done up to a checkpoint, as told to the listeners of the one that goes on from it.
     *
     * @param step optimizer steps that were done or skipped
     * @param steps one report per step that was done, in order
     * @param skipped steps whose loss or gradients were no numbers, in order
     * @param evaluations of the held-out examples, in order
     * @param elapsed how long it took, pauses left out
     */
    public record History(
            int step, List<StepReport> steps, List<NonFinite> skipped, List<Evaluation> evaluations, Duration elapsed) {
        /** That of a training which begins. */
        public static final History NONE = new History(0, List.of(), List.of(), List.of(), Duration.ZERO);

        public History {
            steps = List.copyOf(steps);
            skipped = List.copyOf(skipped);
            evaluations = List.copyOf(evaluations);
        }
    }

    /**
     * What became of a checkpoint.
     *
     * @param step the step after which it was taken
     * @param folder where it is, or should be, such as {@code checkpoint-120}
     * @param duration how long it took to write, mostly beside the training
     * @param cause why it could not be written; null when it was. Earlier checkpoints are as they were then
     */
    public record Checkpoint(
            int step,
            Path folder,
            Duration duration,
            @Nullable Throwable cause) {
        /** Whether it is there, whole and on the disk. */
        public boolean isSaved() {
            return cause == null;
        }

        /** Why it could not be written; empty when it was. */
        public Optional<String> problem() {
            return Optional.ofNullable(cause).map(Throwable::getMessage);
        }
    }

    public TrainingReport {
        steps = List.copyOf(steps);
        skipped = List.copyOf(skipped);
        evaluations = List.copyOf(evaluations);
        warnings = List.copyOf(warnings);
    }

    /**
     * The running means of the metrics that the objective reports besides the loss, such as rewards and margins of preferences: over the
     * last steps, those left out that had nothing to count.
     *
     * @param last over how many steps at most, at least 1
     */
    public Map<String, Double> meanMetrics(int last) {
        if (last < 1) {
            throw new IllegalArgumentException("a running mean is taken over 1 step or more, but not over " + last);
        }
        return steps.subList(Math.max(0, steps.size() - last), steps.size()).stream()
                .flatMap(step -> step.metrics().entrySet().stream())
                .collect(Collectors.groupingBy(Map.Entry::getKey, Collectors.averagingDouble(Map.Entry::getValue)));
    }

    /** The loss of the last step, or NaN when no step was finished. */
    public double finalLoss() {
        return steps.isEmpty() ? Double.NaN : steps.get(steps.size() - 1).loss();
    }
}
