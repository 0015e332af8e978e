package dev.finetune4j.lora.train.loop;

import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.lora.train.TrainingException;
import dev.finetune4j.lora.train.TrainingReport;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The steps of a training that have trained nothing, because their loss or gradients were no numbers. Not thread-safe. */
final class SkippedSteps {
    private static final Logger LOG = LoggerFactory.getLogger(SkippedSteps.class);

    private final ListenerSet listeners;
    private final int most;
    private final List<TrainingReport.NonFinite> all;

    /**
     * @param most that may be skipped
     * @param before those that an earlier run has skipped
     */
    SkippedSteps(ListenerSet listeners, int most, List<TrainingReport.NonFinite> before) {
        this.listeners = listeners;
        this.most = most;
        this.all = new ArrayList<>(before);
    }

    /**
     * Tells of a step that trained nothing.
     *
     * @throws TrainingException if too many have
     */
    void add(Step step, GradientStep.StepResult result) {
        TrainingReport.NonFinite found = new TrainingReport.NonFinite(
                step.index() + 1,
                result.loss(),
                result.norm(),
                sequences(step.batch().ofAllRanks()));
        listeners.tell(listener -> listener.onNonFinite(found));
        if (all.size() == most) {
            throw OutcomeCheck.failure(found, all.size());
        }
        all.add(found);
        LOG.warn(
                "step {} is skipped, {} of at most {}: the loss is {} and the gradient norm {}",
                found.step(),
                all.size(),
                most,
                found.loss(),
                found.gradNorm());
    }

    /** All of them, those of earlier runs first. */
    List<TrainingReport.NonFinite> all() {
        return List.copyOf(all);
    }

    private static List<List<Integer>> sequences(List<Batch> batches) {
        return batches.stream()
                .flatMap(batch -> batch.sequences().stream())
                .map(sequence ->
                        Arrays.stream(sequence.tokens().inputIds()).boxed().toList())
                .toList();
    }
}
