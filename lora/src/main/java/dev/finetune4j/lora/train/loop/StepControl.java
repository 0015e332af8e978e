package dev.finetune4j.lora.train.loop;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What listeners may ask for between two steps of a training, done at once. Works on the training thread until it is closed. */
final class StepControl implements TrainingListener.Control, AutoCloseable {
    private final StepReport report;
    private final ListenerSet listeners;
    private final @Nullable HeldOut heldOut;
    private final @Nullable Consumer<Path> saver;
    private final Thread thread = Thread.currentThread();
    private TrainingReport.@Nullable Evaluation evaluation;
    private final boolean hasCheckpoints;
    private boolean stops;
    private boolean checkpoint;
    private boolean closed;

    /**
     * @param report the step that is done
     * @param heldOut measures the held-out examples; null when there are none
     * @param saver writes what is trained; null when nobody said how
     * @param hasCheckpoints whether checkpoints are taken
     */
    StepControl(
            StepReport report,
            ListenerSet listeners,
            @Nullable HeldOut heldOut,
            @Nullable Consumer<Path> saver,
            boolean hasCheckpoints) {
        this.hasCheckpoints = hasCheckpoints;
        this.report = report;
        this.listeners = listeners;
        this.heldOut = heldOut;
        this.saver = saver;
    }

    @Override
    public void stop() {
        requireOpen();
        stops = true;
    }

    @Override
    public TrainingReport.Evaluation evaluate() {
        requireOpen();
        if (evaluation == null) {
            if (heldOut == null) {
                throw new IllegalStateException(
                        "there are no held-out examples and no questions to evaluate; give them to the builder by"
                                + " evaluation(…) or exam(…)");
            }
            TrainingReport.Evaluation found = during(TrainingListener.Phase.EVALUATING, () -> heldOut.evaluate(report));
            evaluation = found;
            listeners.tell(listener -> listener.onEvaluation(found, this));
        }
        return evaluation;
    }

    @Override
    public void save(Path folder) {
        requireOpen();
        if (saver == null) {
            throw new IllegalStateException("this training does not know how to save what it trains");
        }
        during(TrainingListener.Phase.SAVING, () -> {
            saver.accept(folder);
            return folder;
        });
    }

    @Override
    public void checkpoint() {
        requireOpen();
        if (!hasCheckpoints) {
            throw new IllegalStateException(
                    "this training has no folder for checkpoints; give one to the builder by checkpoints(…)");
        }
        checkpoint = true;
    }

    private <T> T during(TrainingListener.Phase phase, Supplier<T> work) {
        listeners.enter(phase);
        try {
            return work.get();
        } finally {
            listeners.enter(TrainingListener.Phase.TRAINING);
        }
    }

    /** Whether somebody asked to stop. */
    boolean stops() {
        return stops;
    }

    /** Whether somebody asked for a checkpoint. */
    boolean wantsCheckpoint() {
        return checkpoint;
    }

    /** The evaluation after this step, if there was one. */
    List<TrainingReport.Evaluation> evaluations() {
        return evaluation == null ? List.of() : List.of(evaluation);
    }

    private void requireOpen() {
        if (closed || Thread.currentThread() != thread) {
            throw new IllegalStateException(
                    "a training is steered on its own thread, within the call of the listener that was"
                            + " handed the control; step " + report.step() + " is over, or this is another thread");
        }
    }

    @Override
    public void close() {
        closed = true;
    }
}
