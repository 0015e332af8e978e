package dev.finetune4j.examples.task;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.TrainingJob;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.parallel.DataParallel;
import dev.finetune4j.lora.report.TrainingListeners;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.checkpoint.CheckpointFolder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A training of a task file that runs. Thread-safe. */
public final class TrainRun {
    private static final String OTHER_THAN_BEFORE = "cannot be gone on from";
    private static final List<String> RESULTS = List.of("adapter_config.json", "model.safetensors", "config.json");

    private final TrainTask task;
    private final TrainTask.Prepared prepared;
    private final OldCheckpoints old;
    private final TrainingJob job;

    /**
     * What came of a training.
     *
     * @param report of all of its steps, those before a checkpoint that it went on from among them
     * @param stopped whether it was stopped before its last step, by {@link TrainRun#stop()} or by itself
     * @param checkpoint the latest in the folder; null for none
     * @param folder where everything was written
     * @param results what all_results.json holds
     */
    public record Result(
            TrainingReport report,
            boolean stopped,
            @Nullable Path checkpoint,
            Path folder,
            Map<String, Object> results) {
        public Result {
            results = Map.copyOf(results);
        }
    }

    private TrainRun(TrainTask task, TrainTask.Prepared prepared, OldCheckpoints old, TrainingJob job) {
        this.task = task;
        this.prepared = prepared;
        this.old = old;
        this.job = job;
    }

    /**
     * Reads the data and starts the training.
     *
     * @param placeholders values by name
     * @param told takes lines for the user
     * @param progress is told what happens
     * @throws FineTune4jException when data, model and settings do not go together; the message says what and how to mend it
     */
    public static TrainRun start(
            TrainTask task, Map<String, String> placeholders, Consumer<String> told, TrainingListener progress) {
        TrainTask.Prepared prepared = task.prepare(placeholders, told);
        OutputKeys output = task.output();
        FineTuner.Builder builder = prepared.builder();
        OldCheckpoints old = new OldCheckpoints(output.folder());
        requirePlace(task);
        listeners(builder, output, prepared, old);
        builder.listener(progress);
        boolean replaces = place(builder, output, told);
        if (output.checkpoints()) {
            builder.checkpoints(
                    output.folder(),
                    checkpoints -> checkpoints
                            .saveSteps(prepared.saveSteps())
                            .saveTotalLimit(output.keep())
                            .keepBest(output.keepsBest()));
        }
        FineTuner tuner = builder.build();
        told.accept(describe(task, prepared));
        if (replaces) {
            old.setAside();
        }
        return new TrainRun(task, prepared, old, tuner.start());
    }

    private static String describe(TrainTask task, TrainTask.Prepared prepared) {
        return task.describe() + "; " + prepared.rows() + " rows"
                + (prepared.heldOut() == 0 ? "" : ", " + prepared.heldOut() + " held out") + ", "
                + prepared.examplesPerStep() + " a step";
    }

    /** An adapter cannot be saved where a model is, which has to be said before it is trained. */
    private static void requirePlace(TrainTask task) {
        Path folder = task.output().folder();
        for (String model : List.of("model.safetensors", "model.safetensors.index.json")) {
            if (!task.isFull() && Files.exists(folder.resolve(model))) {
                throw new FineTune4jException(
                        "output_dir " + folder + " holds a whole model (" + model
                                + "); choose another folder for the adapter",
                        null);
            }
        }
    }

    private static void listeners(
            FineTuner.Builder builder, OutputKeys output, TrainTask.Prepared prepared, OldCheckpoints old) {
        builder.listener(new TrainingListener() {
            @Override
            public void onStart(int totalSteps, long trainableParameters) {
                old.delete();
                if (output.overwrites()) {
                    RunFiles.delete(output.folder());
                }
            }
        });
        if (prepared.logSteps() != Integer.MAX_VALUE) {
            builder.listener(new StepLog(
                    TrainingListeners.trainerLog(output.folder()), prepared.logSteps(), output.logsFirst()));
        }
        if (output.plots()) {
            builder.listener(TrainingListeners.lossCurves(output.folder()));
        }
        if (output.tensorBoard() != null) {
            builder.listener(TrainingListeners.tensorBoard(output.tensorBoard()));
        }
        if (output.patience() > 0) {
            builder.listener(TrainingListeners.earlyStopping(output.patience(), 0));
        }
        if (output.savesBest()) {
            builder.listener(TrainingListeners.keepBest(output.folder()));
        }
    }

    /**
     * Says where the training begins: anew, or from a checkpoint.
     *
     * @return whether earlier checkpoints give way
     */
    private static boolean place(FineTuner.Builder builder, OutputKeys output, Consumer<String> told) {
        Path folder = output.folder();
        int earlier = CheckpointFolder.all(folder).size();
        if (output.from() != null) {
            told.accept("goes on from " + output.from());
            builder.resumeFrom(output.from());
            return false;
        }
        if (output.overwrites()) {
            if (earlier > 0 && ComputeKeys.processes() > 1) {
                throw new FineTune4jException(
                        folder
                                + " holds checkpoints of an earlier training, which several processes cannot replace together;"
                                + " delete them",
                        null);
            }
            return earlier > 0;
        }
        if (earlier > 0 && output.checkpoints()) {
            told.accept("goes on from the latest checkpoint in " + folder + "; overwrite_output_dir=true begins anew");
            builder.resume();
        } else if (earlier > 0 || RESULTS.stream().anyMatch(name -> Files.exists(folder.resolve(name)))) {
            throw new FineTune4jException(
                    "output_dir " + folder + " holds what an earlier training has made, and "
                            + (earlier > 0
                                    ? "save_strategy: no goes on from no checkpoint"
                                    : "no checkpoint to go on from")
                            + "; write overwrite_output_dir: true, or choose another folder",
                    null);
        }
        return false;
    }

    /** Ends the training after the step that it is at, with a checkpoint if there are any. */
    public void stop() {
        job.stop();
    }

    /**
     * Waits for the end and saves what was trained; of a training that was stopped only if it has no checkpoints.
     *
     * @throws FineTune4jException when the training failed
     */
    public Result await() {
        try (FineTunedModel tuned = job.await()) {
            OutputKeys output = task.output();
            TrainingReport report = tuned.report();
            boolean stopped = report.outcome() == TrainingReport.Outcome.STOPPED;
            boolean early = stopped && output.patience() > 0 && !isInterrupted(report, output.patience());
            if (!stopped || early || !output.checkpoints()) {
                save(tuned, output, report);
            }
            Map<String, Object> results = new TreeMap<>();
            if (isFirst() && !report.steps().isEmpty()) {
                results.putAll(RunFiles.write(output.folder(), report, prepared.examplesPerStep()));
            }
            return new Result(
                    report, stopped && !early, latest(output.folder()).orElse(null), output.folder(), results);
        } catch (SettingsException e) {
            throw String.valueOf(e.getMessage()).contains(OTHER_THAN_BEFORE)
                    ? new FineTune4jException(
                            e.getMessage() + "; write what it was, or overwrite_output_dir: true to begin anew", e)
                    : e;
        } finally {
            old.restore();
        }
    }

    /** Whether a training was stopped for another reason than evaluations without a lower loss. */
    private static boolean isInterrupted(TrainingReport report, int patience) {
        List<TrainingReport.Evaluation> evaluations = report.evaluations();
        if (evaluations.size() <= patience
                || evaluations.get(evaluations.size() - 1).step()
                        != report.steps().size()) {
            return true;
        }
        double before = evaluations.subList(0, evaluations.size() - patience).stream()
                .mapToDouble(TrainingReport.Evaluation::loss)
                .min()
                .orElse(Double.NaN);
        return evaluations.subList(evaluations.size() - patience, evaluations.size()).stream()
                .anyMatch(evaluation -> evaluation.loss() < before);
    }

    private void save(FineTunedModel tuned, OutputKeys output, TrainingReport report) {
        if (report.steps().isEmpty()
                || (output.savesBest() && !report.evaluations().isEmpty())) {
            return; // the best is there
        }
        if (task.isFull()) {
            tuned.export(output.folder(), ModelFormat.huggingFace(Precision.BF16));
        } else {
            tuned.save(output.folder());
        }
    }

    private static boolean isFirst() {
        return !DataParallel.isLaunched() || DataParallel.fromEnvironment().isFirst();
    }

    private static Optional<Path> latest(Path folder) {
        return Optional.ofNullable(CheckpointFolder.all(folder).lastEntry()).map(Map.Entry::getValue);
    }
}
