package dev.finetune4j.examples.task;

import dev.finetune4j.FineTuner;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;

/** A training as a task file says it, checked as far as that can be done without model and data. Immutable. */
public final class TrainTask {
    private final ModelKeys model;
    private final MethodKeys method;
    private final ObjectiveKeys objective;
    private final EncodingKeys encoding;
    private final ScheduleKeys schedule;
    private final DataKeys data;
    private final OutputKeys output;
    private final ComputeKeys compute;
    private final List<String> notes;

    private TrainTask(TaskFile task) {
        if (!task.flag("do_train") && !task.flag("do_predict")) { // the latter is refused by itself
            task.refuse(
                    "do_train",
                    (task.isGiven("do_train") ? "is false" : "is missing")
                            + ", so nothing would be trained; write do_train: true, or measure a model by `finetune4j eval`");
        }
        model = ModelKeys.of(task);
        method = MethodKeys.of(task);
        objective = ObjectiveKeys.of(task, method);
        encoding = EncodingKeys.of(task, objective);
        schedule = ScheduleKeys.of(task, encoding);
        data = DataKeys.of(task, objective);
        output = OutputKeys.of(task);
        compute = ComputeKeys.of(task);
        task.requireSound();
        notes = task.notes();
    }

    /**
     * Reads a training.
     *
     * @param overrides such as {@code learning_rate=2e-4}
     * @throws TaskFileException naming all that is wrong
     */
    public static TrainTask read(Path file, List<String> overrides) {
        return new TrainTask(TaskFile.read(file, overrides, TaskCommand.TRAIN));
    }

    /** What is to be told before it begins, a line for each thing. */
    public List<String> notes() {
        return notes;
    }

    /** Such as {@code sft of ./Yi-1.5-6B-Chat: LoRA of rank 8 on a base in 4 bits (nf4)}. */
    public String describe() {
        return objective.stage() + " of " + model.name() + ": " + method.describe();
    }

    /** The folder or id of the base. */
    public String model() {
        return model.name();
    }

    /** Whether the result is a model and no adapter. */
    public boolean isFull() {
        return method.isFull();
    }

    /** Whether no line is to be rewritten in place. */
    public boolean isPlain() {
        return output.plain();
    }

    /** Whether checkpoints of an earlier training give way. */
    public boolean isOverwriting() {
        return output.overwrites();
    }

    /** What is written, and where. */
    OutputKeys output() {
        return output;
    }

    /**
     * A training that is set up, with what is needed to watch it.
     *
     * @param builder has all but checkpoints and listeners
     * @param rows that are trained on
     * @param heldOut rows that evaluations measure
     * @param totalSteps optimizer steps; with packed rows an estimate from above
     * @param saveSteps optimizer steps between two checkpoints; 0 for each epoch
     * @param logSteps optimizer steps of a line in the log; 0 for each epoch
     * @param examplesPerStep of all processes
     */
    record Prepared(
            FineTuner.Builder builder,
            int rows,
            int heldOut,
            int totalSteps,
            int saveSteps,
            int logSteps,
            int examplesPerStep) {}

    /**
     * Opens data and the model's settings.
     *
     * @param placeholders values by name
     * @param told takes lines for the user
     */
    Prepared prepare(Map<String, String> placeholders, Consumer<String> told) {
        DataKeys.Rows rows = rows(placeholders, told);
        rows.train().requireReady();
        TrainingSettings base = Objects.requireNonNull(schedule.base());
        int processes = ComputeKeys.processes();
        int total = schedule.totalSteps(base, rows.train().size(), processes);
        FineTuner.Builder builder = FineTuner.builder();
        String template = model.apply(builder, learnsTexts());
        if (!template.isEmpty()) {
            told.accept(template);
        }
        method.apply(builder);
        objective.choice().accept(builder);
        encoding.apply(builder);
        compute.apply(builder);
        builder.dataset(rows.train()).training(training -> fill(training, schedule.settings(total)));
        if (rows.heldOut() != null) {
            builder.evaluation(rows.heldOut());
        }
        return new Prepared(
                builder,
                rows.train().size(),
                rows.heldOut() == null ? 0 : rows.heldOut().size(),
                total,
                ScheduleKeys.steps(schedule.save(), total),
                ScheduleKeys.steps(schedule.log(), total),
                base.batchSize() * base.gradientAccumulation() * processes);
    }

    /**
     * The rows as they are learned.
     *
     * @param placeholders values by name
     * @param told takes lines for the user
     */
    DataKeys.Rows rows(Map<String, String> placeholders, Consumer<String> told) {
        return model.rows(data.open(placeholders), learnsTexts(), told);
    }

    private boolean learnsTexts() {
        return objective.stage().equals("pt");
    }

    private static void fill(TrainingSettings.Builder training, TrainingSettings settings) {
        training.epochs(settings.epochs())
                .maxSteps(settings.maxSteps())
                .batchSize(settings.batchSize())
                .gradientAccumulation(settings.gradientAccumulation())
                .learningRate(settings.learningRate())
                .schedule(settings.schedule(), settings.warmupRatio())
                .weightDecay(settings.weightDecay())
                .optimizer(settings.optimizer())
                .maxGradNorm(settings.maxGradNorm())
                .neftuneNoiseAlpha(settings.neftuneNoiseAlpha())
                .evaluationSteps(settings.evaluationSteps())
                .seed(settings.seed());
    }
}
