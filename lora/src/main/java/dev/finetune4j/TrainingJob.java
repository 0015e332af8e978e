package dev.finetune4j;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A fine-tuning that runs in a thread of its own. Thread-safe.
 *
 * <p>The job's result owns native memory: whoever takes it from {@link #completion()} or {@link #await()} closes it.
 */
public final class TrainingJob {
    /** The work of a job: told how to learn that it is to stop and whom to report to. */
    @FunctionalInterface
    interface Work {
        FineTunedModel run(BooleanSupplier stopped, TrainingListener progress);
    }

    private final CompletableFuture<FineTunedModel> result = new CompletableFuture<>();
    private final Object gate = new Object();
    private boolean stopped; // guarded by the gate, as what follows
    private boolean paused;
    private volatile @Nullable StepReport last;
    private volatile TrainingReport.@Nullable Evaluation lastEvaluation;
    private volatile TrainingListener.Phase phase = TrainingListener.Phase.READING_DATA;

    private TrainingJob() {}

    static TrainingJob start(Work work) {
        TrainingJob job = new TrainingJob();
        Thread thread = new Thread(() -> job.run(work), "finetune4j-training");
        thread.setDaemon(true);
        thread.start();
        return job;
    }

    private void run(Work work) {
        TrainingListener progress = new TrainingListener() {
            @Override
            public void onPhase(Phase next) {
                phase = next;
            }

            @Override
            public void onStep(StepReport report, Control control) {
                last = report;
            }

            @Override
            public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
                lastEvaluation = evaluation;
            }
        };
        try {
            result.complete(work.run(this::passGate, progress));
        } catch (Throwable e) { // an Error too must reach whoever waits
            result.completeExceptionally(e);
        }
    }

    /** Waits while the job is paused and not stopped. Returns whether it is to stop. */
    private boolean passGate() {
        synchronized (gate) {
            while (paused && !stopped) {
                try {
                    gate.wait();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    stopped = true; // as for a training on a thread of the caller's
                }
            }
            return stopped;
        }
    }

    /**
     * Stops the training with what is trained by then, also while it is paused. It ends before its next micro-batch; the job then completes normally with the model as the
     * last finished step left it, and its report says {@code STOPPED}; a training with {@link FineTuner.Builder#checkpoints
     * checkpoints} has written one of that step. A job that is still loading its model or data
     * stops before the first step; one that is still downloading its model has none, and ends with a {@link
     * dev.finetune4j.core.hub.HubException} (cancelled).
     */
    public void stop() {
        synchronized (gate) {
            stopped = true;
            gate.notifyAll();
        }
    }

    /**
     * Lets the training stand still before its next micro-batch, until {@link #resume()} or {@link #stop()}. It keeps its memory, and the
     * numbers that follow are those of a training without a pause. A job that is still loading stands still before its first
     * micro-batch.
     */
    public void pause() {
        synchronized (gate) {
            paused = true;
        }
    }

    /** Lets a paused training go on; without effect on another. */
    public void resume() {
        synchronized (gate) {
            paused = false;
            gate.notifyAll();
        }
    }

    /** Whether the job is to stand still: {@link #pause()} was called and {@link #resume()} not. */
    public boolean isPaused() {
        synchronized (gate) {
            return paused;
        }
    }

    /** What the job is doing, or would go on with when it is resumed. */
    public TrainingListener.Phase phase() {
        return phase;
    }

    /** The latest finished step; empty before the first. */
    public Optional<StepReport> progress() {
        return Optional.ofNullable(last);
    }

    /** The latest evaluation of the held-out examples; empty before the first. */
    public Optional<TrainingReport.Evaluation> evaluation() {
        return Optional.ofNullable(lastEvaluation);
    }

    /** Whether the job has ended, well or badly. */
    public boolean isDone() {
        return result.isDone();
    }

    /** Completes with the model, or with the exception that ended the training. */
    public CompletionStage<FineTunedModel> completion() {
        return result.minimalCompletionStage();
    }

    /**
     * Waits for the end. An interrupt of the waiting thread does not stop the training; {@link #stop()} does.
     *
     * @throws RuntimeException what the training threw
     */
    public FineTunedModel await() {
        try {
            return result.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            if (e.getCause() instanceof Error cause) {
                throw cause;
            }
            throw e;
        } catch (CancellationException e) {
            throw new IllegalStateException("the job's result was cancelled from outside", e);
        }
    }
}
