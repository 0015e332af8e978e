package dev.finetune4j.lora.train.loop;

import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.ArrayList;
import java.util.List;

/**
 * What a training has done so far, with what an earlier run had done before it went on here. Grows with each step; confined to the
 * training's thread.
 */
final class Progress {
    private final StepReports reports;
    private final SkippedSteps skipped;
    private final List<TrainingReport.Evaluation> evaluations;

    /**
     * Begins with what was done before.
     *
     * @param reports of the steps that are done, those of before included
     * @param listeners are told of the steps that train nothing
     */
    Progress(TrainingReport.History before, StepReports reports, ListenerSet listeners, TrainingSettings settings) {
        this.reports = reports;
        this.skipped = new SkippedSteps(listeners, settings.maxSkippedSteps(), before.skipped());
        this.evaluations = new ArrayList<>(before.evaluations());
    }

    /** The steps that were done. */
    StepReports reports() {
        return reports;
    }

    /** The others. */
    SkippedSteps skipped() {
        return skipped;
    }

    /** The evaluations of held-out examples. */
    List<TrainingReport.Evaluation> evaluations() {
        return List.copyOf(evaluations);
    }

    /** Adds what was evaluated after a step. */
    void evaluated(List<TrainingReport.Evaluation> measured) {
        evaluations.addAll(measured);
    }

    /** All of it, as it is after a step. */
    TrainingReport.History history(int step) {
        return new TrainingReport.History(step, reports.all(), skipped.all(), evaluations, reports.elapsed());
    }
}
