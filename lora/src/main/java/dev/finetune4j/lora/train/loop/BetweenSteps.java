package dev.finetune4j.lora.train.loop;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What is done between two steps: listeners are told and may ask for something, held-out examples are evaluated, checkpoints taken. Rank 0
 * decides, and the others follow. Confined to the training's thread.
 */
final class BetweenSteps {
    private final Setup setup;
    private final @Nullable HeldOut heldOut;
    private final @Nullable Consumer<Path> saver;
    private final @Nullable Checkpoints checkpoints;
    private final Progress progress;
    private boolean stopped;

    /**
     * @param heldOut evaluates; null when there is nothing to evaluate
     * @param saver writes what is trained; null when nobody said how
     * @param checkpoints null when none are taken
     */
    BetweenSteps(
            Setup setup,
            @Nullable HeldOut heldOut,
            @Nullable Consumer<Path> saver,
            @Nullable Checkpoints checkpoints,
            Progress progress) {
        this.setup = setup;
        this.heldOut = heldOut;
        this.saver = saver;
        this.checkpoints = checkpoints;
        this.progress = progress;
    }

    /** Tells of a step that is done, and does what is asked for after it. */
    void afterDone(StepReport report) {
        ListenerSet listeners = setup.listeners();
        try (StepControl control = new StepControl(report, listeners, heldOut, saver, checkpoints != null)) {
            listeners.tell(listener -> listener.onStep(report, control));
            if (heldOut != null && setup.ranks().isFirst() && isEvaluated(report)) {
                setup.doing().accept("evaluating after step " + report.step());
                control.evaluate();
            }
            followFirst(control);
            progress.evaluated(control.evaluations());
            stopped = control.stops();
            takeCheckpoint(report.step(), control.wantsCheckpoint(), control.evaluations());
        }
        progress.reports().goOn();
    }

    /** Takes the checkpoint that is due after a step that was skipped. */
    void afterSkipped(int step) {
        takeCheckpoint(step, false, List.of());
    }

    /** Whether a listener asked to end the training. */
    boolean stopped() {
        return stopped;
    }

    /** The other ranks do what rank 0 begins, until it is through. */
    private void followFirst(StepControl control) {
        while (setup.ranks().ofFirst(HeldOut.NO_MORE) == HeldOut.EVALUATE) {
            control.evaluate();
        }
    }

    private void takeCheckpoint(int step, boolean wanted, List<TrainingReport.Evaluation> measured) {
        if (checkpoints != null) {
            setup.doing().accept("taking a checkpoint after step " + step);
            checkpoints.after(wanted, measured);
        }
    }

    private boolean isEvaluated(StepReport report) {
        int steps = setup.settings().evaluationSteps();
        int every = steps > 0 ? steps : setup.loader().stepsPerEpoch();
        return report.step() % every == 0 || report.step() == report.totalSteps();
    }
}
