package dev.finetune4j;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicBoolean;
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
    private final AtomicBoolean stopped = new AtomicBoolean();
    private volatile @Nullable StepReport last;

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
            public void onStep(StepReport report) {
                last = report;
            }
        };
        try {
            result.complete(work.run(stopped::get, progress));
        } catch (Throwable e) { // an Error too must reach whoever waits
            result.completeExceptionally(e);
        }
    }

    /**
     * Stops the training with what is trained by then. It ends before its next micro-batch; the job then completes normally with the model as the
     * last finished step left it, and its report says {@code STOPPED}. A job that is still loading its model or data
     * stops before the first step.
     */
    public void stop() {
        stopped.set(true);
    }

    /** The latest finished step; empty before the first. */
    public Optional<StepReport> progress() {
        return Optional.ofNullable(last);
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
