package dev.finetune4j.lora.report;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Path;
import java.time.Clock;

/**
 * Ready-made listeners beside {@link ProgressLine}: logs in the formats of other tools, pictures, and rules by which a training
 * ends or keeps its best state. Each is made for one training, and takes up what was before when that goes on from a checkpoint. Files that cannot be written are a warning in the log; the
 * training goes on.
 */
public final class TrainingListeners {
    private TrainingListeners() {}

    /**
     * Writes {@code trainer_log.jsonl}, one line for each step and each evaluation as it happens, with the fields of LLaMA-Factory: {@code
     * current_steps, total_steps, loss, eval_loss, accuracy, lr, epoch, percentage, elapsed_time, remaining_time, throughput,
     * total_tokens}, those without a value left out. A log of an earlier training is replaced.
     *
     * @param folder made if absent
     */
    public static TrainingListener trainerLog(Path folder) {
        return new TrainerLog(Arguments.given(folder, "trainerLog(folder)"));
    }

    /**
     * Writes an event file of TensorBoard, under the tags of transformers: {@code train/loss}, {@code train/grad_norm}, {@code
     * train/learning_rate}, {@code train/epoch}, {@code train/tokens_per_second}, the objective's metrics such as {@code
     * train/rewards/margins}, and {@code eval/loss}. Each training writes a file of its own, which {@code tensorboard --logdir} reads while it grows.
     *
     * @param folder made if absent
     */
    public static TrainingListener tensorBoard(Path folder) {
        return new TensorBoardLog(Arguments.given(folder, "tensorBoard(folder)"), Clock.systemUTC());
    }

    /**
     * Draws {@code training_loss.png} at the end, and {@code training_eval_loss.png} if there were evaluations; raw and smoothed.
     *
     * @param folder made if absent
     */
    public static TrainingListener lossCurves(Path folder) {
        Arguments.given(folder, "lossCurves(folder)");
        return new TrainingListener() {
            @Override
            public void onEnd(TrainingReport report) {
                if (!report.steps().isEmpty()) {
                    LossCurve.writePng(folder.resolve("training_loss.png"), report.steps());
                }
                if (!report.evaluations().isEmpty()) {
                    LossCurve.writeEvaluationPng(folder.resolve("training_eval_loss.png"), report.evaluations());
                }
            }
        };
    }

    /**
     * Commits an event {@code dev.finetune4j.TrainingStep} or {@code dev.finetune4j.Evaluation} to Java Flight Recorder for each step and
     * evaluation; free of cost while nobody records.
     */
    public static TrainingListener flightRecorder() {
        return new FlightRecorderEvents();
    }

    /**
     * Stops the training when the loss on the held-out examples has not fallen for some evaluations. Needs {@code
     * FineTuner.Builder.evaluation}.
     *
     * @param patience evaluations in a row without a new lowest loss that end the training, at least 1
     * @param threshold by how much a loss must be below the lowest one to count as lower, 0 or more
     */
    public static TrainingListener earlyStopping(int patience, double threshold) {
        if (patience < 1 || !(threshold >= 0)) {
            throw new IllegalArgumentException(
                    "patience must be at least 1 evaluation and threshold 0 or more, but they are " + patience + " and "
                            + threshold);
        }
        return new TrainingListener() {
            private double lowest = Double.POSITIVE_INFINITY;
            private int without;

            @Override
            public void onResume(TrainingReport.History before) {
                before.evaluations().forEach(this::compare);
            }

            @Override
            public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
                compare(evaluation);
                if (without >= patience) {
                    control.stop();
                }
            }

            private void compare(TrainingReport.Evaluation evaluation) {
                if (evaluation.loss() < lowest - threshold) {
                    lowest = evaluation.loss();
                    without = 0;
                } else {
                    without++;
                }
            }
        };
    }

    /**
     * Saves what is trained after each evaluation with a new lowest loss, so that the folder holds the best state, whatever the
     * last one is. Needs {@code FineTuner.Builder.evaluation}.
     *
     * @param folder as for {@link TrainingListener.Control#save}
     */
    public static TrainingListener keepBest(Path folder) {
        Arguments.given(folder, "keepBest(folder)");
        return new TrainingListener() {
            private double lowest = Double.POSITIVE_INFINITY;

            @Override
            public void onResume(TrainingReport.History before) {
                before.evaluations().forEach(evaluation -> lowest = Math.min(lowest, evaluation.loss()));
            }

            @Override
            public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
                if (evaluation.loss() < lowest) {
                    control.save(folder);
                    lowest = evaluation.loss(); // only now, so that a failed writing is tried again
                }
            }
        };
    }
}
