package dev.finetune4j.examples.task;

import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.lora.train.TrainingSettings;
import org.jspecify.annotations.Nullable;

/**
 * What a task says of the steps. Counts of steps that are given as shares follow from the number of rows, so they are asked for later.
 *
 * @param base all settings but the warm-up and the evaluations; null when some cannot work
 * @param warmup steps of the warm-up, or below 1 a share of all
 * @param save steps between two checkpoints, or below 1 a share of all
 * @param evaluate steps between two evaluations, or below 1 a share of all; 0 for each epoch, infinite for the end alone
 * @param log steps of a line in the log, or below 1 a share of all; 0 for each epoch
 */
record ScheduleKeys(@Nullable TrainingSettings base, double warmup, double save, double evaluate, double log) {
    static ScheduleKeys of(TaskFile task, EncodingKeys encoding) {
        TrainingSettings settings = Demands.made(task, "lr_scheduler_type", () -> settings(task));
        ScheduleKeys keys = new ScheduleKeys(settings, warmup(task, settings), save(task), evaluate(task), log(task));
        if (settings != null) {
            boolean open = settings.maxSteps() == 0 && encoding.packs();
            boolean counted = keys.warmup() >= 1;
            if (open && counted) {
                task.refuse(
                        "warmup_steps",
                        "how many steps there are is not known before rows are packed; write max_steps too, or a share"
                                + " such as 0.1");
            }
            if (open && (isShare(keys.save()) || isShare(keys.evaluate()) || isShare(keys.log()))) {
                task.refuse(
                        "packing",
                        "a share of all steps is not known before rows are packed; write max_steps too, or whole numbers for"
                                + " save_steps, eval_steps and logging_steps");
            }
            Demands.made(task, "lr_scheduler_type", () -> keys.settings(1000));
        }
        return keys;
    }

    private static TrainingSettings settings(TaskFile task) {
        TrainingSettings.Builder training = TrainingSettings.builder()
                .epochs(Demands.aboveZero(task, "num_train_epochs"))
                .maxSteps(Math.max(0, task.integer("max_steps").orElse(0)))
                .batchSize(Demands.atLeast(task, "per_device_train_batch_size", 1))
                .gradientAccumulation(Demands.atLeast(task, "gradient_accumulation_steps", 1))
                .learningRate(Demands.aboveZero(task, "learning_rate"))
                .weightDecay(Demands.notNegative(task, "weight_decay"))
                .maxGradNorm(Demands.notNegative(task, "max_grad_norm"))
                .neftuneNoiseAlpha(Demands.notNegative(task, "neftune_noise_alpha"))
                .optimizer(optimizer(task))
                .seed(task.integer("seed").orElse(42));
        LearningRateSchedule schedule = Demands.made(
                task,
                task.isGiven("lr_scheduler_kwargs") ? "lr_scheduler_kwargs" : "lr_scheduler_type",
                () -> LearningRateSchedule.named(
                        task.text("lr_scheduler_type").orElse("linear"), task.map("lr_scheduler_kwargs")));
        return training.schedule(schedule == null ? LearningRateSchedule.linear() : schedule, 0)
                .build();
    }

    private static Optimizer optimizer(TaskFile task) {
        String name = task.flag("adafactor") ? "adafactor" : task.text("optim").orElse("adamw_torch");
        double beta1 = Demands.share(task, "adam_beta1");
        double beta2 = Demands.share(task, "adam_beta2");
        double epsilon = Demands.aboveZero(task, "adam_epsilon");
        return switch (name) {
            case "adafactor" -> Optimizer.adafactor();
            case "lion_32bit", "paged_lion_32bit" -> new Optimizer.Lion(beta1, beta2);
            case "adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit", "adamw_torch_8bit" ->
                new Optimizer.AdamW8bit(beta1, beta2, epsilon);
            default -> new Optimizer.AdamW(beta1, beta2, epsilon); // others were refused when the key was read
        };
    }

    private static double warmup(TaskFile task, @Nullable TrainingSettings settings) {
        double steps = Demands.notNegative(task, "warmup_steps");
        double warmup = steps > 0 ? steps : Demands.share(task, "warmup_ratio");
        if (warmup > 0 && settings != null && !settings.schedule().warmsUp()) {
            task.note(
                    steps > 0 ? "warmup_steps" : "warmup_ratio",
                    "lr_scheduler_type: constant has no warm-up; constant_with_warmup has");
            return 0;
        }
        return warmup;
    }

    private static double save(TaskFile task) {
        return task.text("save_strategy").orElse("steps").equals("steps")
                ? Demands.aboveZero(task, "save_steps")
                : 0; // best: beside those of the epochs
    }

    private static double evaluate(TaskFile task) {
        return switch (strategy(task)) {
            case "steps" -> Demands.aboveZero(task, task.isGiven("eval_steps") ? "eval_steps" : "logging_steps");
            case "epoch" -> 0;
            default -> Double.POSITIVE_INFINITY;
        };
    }

    private static double log(TaskFile task) {
        return switch (task.text("logging_strategy").orElse("steps")) {
            case "no" -> Double.POSITIVE_INFINITY;
            case "epoch" -> 0;
            default -> task.isGiven("logging_steps") ? Demands.aboveZero(task, "logging_steps") : 1;
        };
    }

    /** When evaluations are due: {@code no, steps, epoch}. */
    static String strategy(TaskFile task) {
        String older = task.text("evaluation_strategy").orElse("no");
        String strategy = task.text("eval_strategy").orElse("no");
        return strategy.equals("no") ? older : strategy;
    }

    private static boolean isShare(double steps) {
        return steps > 0 && steps < 1;
    }

    /** The optimizer steps of a training on so many rows, at least 1. */
    int totalSteps(TrainingSettings settings, int rows, int processes) {
        long each = (long) settings.batchSize() * settings.gradientAccumulation() * processes;
        return settings.totalSteps((int) Math.max(1, (rows + each - 1) / each));
    }

    /**
     * The settings of a training.
     *
     * @param totalSteps its optimizer steps
     */
    TrainingSettings settings(int totalSteps) {
        if (base == null) {
            throw new IllegalStateException("the settings were refused");
        }
        double share = warmup < 1 ? warmup : Math.min(warmup, totalSteps - 1.0) / totalSteps;
        double steps = evaluate == Double.POSITIVE_INFINITY ? Integer.MAX_VALUE : steps(evaluate, totalSteps);
        TrainingSettings.Builder builder = base.toBuilder().evaluationSteps((int) steps);
        return builder.schedule(base.schedule(), share).build();
    }

    /** A number of steps that was given as such or as a share. */
    static int steps(double given, int totalSteps) {
        double steps = isShare(given) ? Math.ceil(given * totalSteps) : given;
        return (int) Math.min(Integer.MAX_VALUE, steps);
    }
}
