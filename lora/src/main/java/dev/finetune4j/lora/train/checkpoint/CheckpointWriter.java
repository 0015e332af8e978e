package dev.finetune4j.lora.train.checkpoint;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/**
 * Writes the checkpoints of a training, one at a time, in a thread beside it or at once, and removes old ones. Used by one thread.
 */
public final class CheckpointWriter implements AutoCloseable {
    private final CheckpointFolder folder;
    private final TrainingSettings.CheckpointSettings settings;

    /** One thread for all of a training's checkpoints, so that native memory is taken and given back in one place. */
    private final ExecutorService thread = Executors.newSingleThreadExecutor(work -> {
        Thread made = new Thread(work, "finetune4j-checkpoint");
        made.setDaemon(true);
        return made;
    });

    private @Nullable CompletableFuture<TrainingReport.Checkpoint> pending;

    public CheckpointWriter(CheckpointFolder folder, TrainingSettings.CheckpointSettings settings) {
        this.folder = folder;
        this.settings = settings;
    }

    /** Writes a checkpoint and closes it. */
    public TrainingReport.Checkpoint write(TakenCheckpoint taken) {
        long start = System.nanoTime();
        int step = taken.state().step();
        Path place = folder.of(step);
        Throwable cause = null;
        try (taken) {
            folder.write(taken);
            int best = settings.keepBest()
                    ? taken.state().best().map(evaluation -> evaluation.step()).orElse(0)
                    : 0;
            folder.prune(settings.saveTotalLimit(), step, best);
        } catch (FineTune4jException e) {
            cause = e;
        } catch (RuntimeException | Error e) { // a checkpoint is never worth the training
            cause = new FineTune4jException(place + " could not be written: " + e, e);
        }
        return new TrainingReport.Checkpoint(step, place, Duration.ofNanos(System.nanoTime() - start), cause);
    }

    /**
     * Writes a checkpoint beside the training. The one before must be {@linkplain #finished finished}.
     *
     * @throws IllegalStateException if it is not
     */
    public void start(TakenCheckpoint taken) {
        if (pending != null) {
            throw new IllegalStateException("the checkpoint before is not written yet");
        }
        pending = CompletableFuture.supplyAsync(() -> write(taken), thread);
    }

    /** What became of the one that was started, told once; empty when there is none, or when it is still written and not waited for. */
    public Optional<TrainingReport.Checkpoint> finished(boolean wait) {
        if (pending == null || !(wait || pending.isDone())) {
            return Optional.empty();
        }
        TrainingReport.Checkpoint report = pending.join(); // which no interrupt ends
        pending = null;
        return Optional.of(report);
    }

    /** Waits for the one that is written. */
    @Override
    public void close() {
        finished(true);
        thread.shutdown();
    }
}
