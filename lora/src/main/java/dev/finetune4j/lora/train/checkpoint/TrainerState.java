package dev.finetune4j.lora.train.checkpoint;

import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.train.TrainingReport;
import java.util.Comparator;
import java.util.Optional;

/**
 * What a training goes on from, apart from its tensors. Immutable.
 *
 * @param updates optimizer steps that were done, without those that were skipped
 * @param totalSteps steps of the whole training, as it was planned then
 * @param stepsPerEpoch optimizer steps of an epoch
 * @param position where the data goes on
 * @param dropoutSeed key of the generator of dropout's masks
 * @param dropoutPass number of the next forward pass, which that generator counts
 * @param history what was done
 */
public record TrainerState(
        int updates,
        int totalSteps,
        int stepsPerEpoch,
        BatchLoader.Position position,
        long dropoutSeed,
        int dropoutPass,
        TrainingReport.History history) {
    /** Optimizer steps that were done or skipped. */
    public int step() {
        return history.step();
    }

    /** The evaluation with the lowest loss; of several the first. */
    public Optional<TrainingReport.Evaluation> best() {
        return history.evaluations().stream()
                .filter(evaluation -> Double.isFinite(evaluation.loss()))
                .min(Comparator.comparingDouble(TrainingReport.Evaluation::loss));
    }
}
