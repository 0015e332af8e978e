package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.SetOnce;
import java.util.ArrayList;
import java.util.List;

/**
 * How a training runs. Immutable; made by {@link #builder()} or the facade.
 *
 * <p>An optimizer step takes the next {@code batchSize · gradientAccumulation} examples, and an epoch each example once, in the
 * smaller last step what is left. How a device lays out the examples of a step, behind one another or padded, changes neither;
 * the loss of a step is the mean over all of its target tokens. Where rows are packed beforehand, {@code
 * FineTuner.Builder.packing}, such a row counts as an example.
 *
 * @param epochs passes over the data; not looked at when {@code maxSteps} decides
 * @param maxSteps optimizer steps, or 0 to let {@code epochs} decide
 * @param batchSize examples of one micro-batch, which go through the model together
 * @param gradientAccumulation micro-batches of one optimizer step; the result depends on the product of both numbers only
 * @param learningRate peak learning rate
 * @param schedule course of the learning rate
 * @param warmupRatio share of all steps over which the learning rate rises from zero
 * @param weightDecay decoupled from the gradients: what a step takes of each value, times the learning rate
 * @param optimizer how gradients move the parameters
 * @param maxGradNorm gradients are scaled down to this norm when theirs is larger; 0 for never
 * @param neftuneNoiseAlpha size of the noise on embedded tokens while they are trained on; 0 for none
 * @param maxSkippedSteps steps of the whole training that may have no numbers as loss or gradients and are skipped; the next one ends
 *     the training. 0 ends it at the first
 * @param evaluationSteps optimizer steps between two evaluations of the held-out examples, where there are any; 0 for the end of
 *     each epoch
 * @param seed decides the order of the examples, the adapter's start and what dropout hides; nothing that others draw in the
 *     process changes that
 */
public record TrainingSettings(
        double epochs,
        int maxSteps,
        int batchSize,
        int gradientAccumulation,
        double learningRate,
        LearningRateSchedule schedule,
        double warmupRatio,
        double weightDecay,
        Optimizer optimizer,
        double maxGradNorm,
        double neftuneNoiseAlpha,
        int maxSkippedSteps,
        int evaluationSteps,
        long seed) {
    /**
     * When a training writes checkpoints, and how many of them stay. Immutable.
     *
     * @param saveSteps optimizer steps between two checkpoints; 0 for the end of each epoch. The last step has one in any case
     * @param saveTotalLimit how many of the latest checkpoints stay; 0 for all
     * @param saveOnStop whether a training that is stopped writes one before it ends
     * @param keepBest whether an evaluation with a new lowest loss writes a checkpoint too, and the best one stays beside the latest
     */
    public record CheckpointSettings(int saveSteps, int saveTotalLimit, boolean saveOnStop, boolean keepBest) {
        public CheckpointSettings {
            List<String> problems = new ArrayList<>();
            if (saveSteps < 0) {
                problems.add("saveSteps must be 0 (at the end of each epoch) or more, but is " + saveSteps);
            }
            if (saveTotalLimit < 0) {
                problems.add("saveTotalLimit must be 0 (all checkpoints stay) or more, but is " + saveTotalLimit);
            }
            if (!problems.isEmpty()) {
                throw new SettingsException(problems);
            }
        }

        /** Starts with a checkpoint at the end of each epoch and on a stop, of which the latest three stay. */
        public static Builder builder() {
            return new Builder();
        }

        /** Collects the settings. Each is set once; a second call is an {@link IllegalStateException}. Not thread-safe. */
        public static final class Builder {
            private final SetOnce once = new SetOnce();
            private int saveSteps;
            private int saveTotalLimit = 3;
            private boolean saveOnStop = true;
            private boolean keepBest;

            private Builder() {}

            /** Optimizer steps between two checkpoints; by default the steps of an epoch. */
            public Builder saveSteps(int value) {
                saveSteps = once.set("saveSteps", value);
                return this;
            }

            /** How many of the latest checkpoints stay, 0 for all; 3 by default, so that a damaged one is no loss. */
            public Builder saveTotalLimit(int value) {
                saveTotalLimit = once.set("saveTotalLimit", value);
                return this;
            }

            /** Whether a training that is stopped writes a checkpoint before it ends; on by default. */
            public Builder saveOnStop(boolean value) {
                saveOnStop = once.set("saveOnStop", value);
                return this;
            }

            /**
             * Whether an evaluation of the held-out examples with a new lowest loss writes a checkpoint too, and the best one stays beside the
             * latest; off by default. Needs {@code FineTuner.Builder.evaluation}.
             */
            public Builder keepBest(boolean value) {
                keepBest = once.set("keepBest", value);
                return this;
            }

            /**
             * The settings.
             *
             * @throws SettingsException naming every value that cannot work
             */
            public CheckpointSettings build() {
                return new CheckpointSettings(saveSteps, saveTotalLimit, saveOnStop, keepBest);
            }
        }
    }

    public TrainingSettings {
        List<String> problems = new ArrayList<>();
        require(
                problems,
                maxSteps != 0 || (Double.isFinite(epochs) && epochs > 0),
                "epochs must be above 0 and finite, but is " + epochs);
        require(problems, maxSteps >= 0, "maxSteps must be 0 (epochs decide) or more, but is " + maxSteps);
        require(problems, batchSize >= 1, "batchSize must be at least 1, but is " + batchSize);
        require(
                problems,
                gradientAccumulation >= 1,
                "gradientAccumulation must be at least 1, but is " + gradientAccumulation);
        require(
                problems,
                Double.isFinite(learningRate) && learningRate > 0,
                "learningRate must be above 0 and finite, but is " + learningRate + "; 1e-4 to 2e-4 is usual for LoRA");
        require(
                problems,
                warmupRatio >= 0 && warmupRatio < 1,
                "warmupRatio must be at least 0 and below 1, but is " + warmupRatio);
        require(
                problems,
                Double.isFinite(weightDecay) && weightDecay >= 0,
                "weightDecay must be 0 or more and finite, but is " + weightDecay + "; 0 to 0.1 is usual");
        require(
                problems,
                Double.isFinite(maxGradNorm) && maxGradNorm >= 0,
                "maxGradNorm must be 0 (no clipping) or more and finite, but is " + maxGradNorm + "; 1 is usual");
        require(problems, optimizer != null, "optimizer must be given; Optimizer.adamW() is usual");
        require(
                problems,
                Double.isFinite(neftuneNoiseAlpha) && neftuneNoiseAlpha >= 0,
                "neftuneNoiseAlpha must be 0 (no noise) or more and finite, but is " + neftuneNoiseAlpha
                        + "; 5 is usual");
        require(problems, maxSkippedSteps >= 0, "maxSkippedSteps must be 0 or more, but is " + maxSkippedSteps);
        require(
                problems,
                evaluationSteps >= 0,
                "evaluationSteps must be 0 (at the end of each epoch) or more, but is " + evaluationSteps);
        require(problems, schedule != null, "schedule must be given; LearningRateSchedule.cosine() is usual");
        require(
                problems,
                (long) batchSize * gradientAccumulation <= Integer.MAX_VALUE,
                "batchSize times gradientAccumulation must stay below two thousand million");
        if (problems.isEmpty()) {
            // Without maxSteps the number of steps is not known before the data is: the trainer asks again.
            int totalSteps = maxSteps > 0 ? maxSteps : Integer.MAX_VALUE;
            int warmupSteps = maxSteps > 0 ? warmupSteps(warmupRatio, totalSteps) : 0;
            problems.addAll(schedule.problems(new LearningRateSchedule.Span(warmupSteps, totalSteps, learningRate)));
            require(
                    problems,
                    warmupRatio == 0 || schedule.warmsUp(),
                    "the constant schedule has no warm-up, but warmupRatio is " + warmupRatio
                            + "; set it to 0, or choose constantWithWarmup()");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Starts from three epochs of 8 examples a step, a cosine from 2e-4 after 3 % warm-up, and clipping at 1. */
    public static Builder builder() {
        return new Builder();
    }

    /** Starts with these values, each of which may be set anew. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.epochs = epochs;
        builder.maxSteps = maxSteps;
        builder.batchSize = batchSize;
        builder.gradientAccumulation = gradientAccumulation;
        builder.learningRate = learningRate;
        builder.schedule = schedule;
        builder.warmupRatio = warmupRatio;
        builder.weightDecay = weightDecay;
        builder.optimizer = optimizer;
        builder.maxGradNorm = maxGradNorm;
        builder.neftuneNoiseAlpha = neftuneNoiseAlpha;
        builder.maxSkippedSteps = maxSkippedSteps;
        builder.evaluationSteps = evaluationSteps;
        builder.seed = seed;
        return builder;
    }

    /** All optimizer steps of a training over an epoch of the given number of steps. */
    public int totalSteps(int stepsPerEpoch) {
        return maxSteps > 0 ? maxSteps : Math.max(1, (int) Math.ceil(epochs * stepsPerEpoch - 1e-9));
    }

    /** Steps of warm-up within the given total, rounded up, but never all of them: the first of them trains nothing. */
    public int warmupSteps(int totalSteps) {
        return warmupSteps(warmupRatio, totalSteps);
    }

    private static int warmupSteps(double ratio, int totalSteps) {
        return Math.min(totalSteps - 1, (int) Math.ceil(ratio * totalSteps - 1e-9));
    }

    private static void require(List<String> problems, boolean holds, String problem) {
        if (!holds) {
            problems.add(problem);
        }
    }

    /**
     * Collects the settings. Each is set once; a second call is an {@link IllegalStateException}. Values are checked together
     * at the end. Not thread-safe.
     */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private double epochs = 3;
        private int maxSteps;
        private int batchSize = 8;
        private int gradientAccumulation = 1;
        private double learningRate = 2e-4;
        private LearningRateSchedule schedule = LearningRateSchedule.cosine();
        private double warmupRatio = 0.03;
        private double weightDecay;
        private Optimizer optimizer = Optimizer.adamW();
        private double maxGradNorm = 1;
        private double neftuneNoiseAlpha;
        private int maxSkippedSteps;
        private int evaluationSteps;
        private long seed = 42;

        private Builder() {}

        /** Passes over the data; 3 by default, and with {@code FineTuner} for small data sets as many as make 60 steps. */
        public Builder epochs(double value) {
            epochs = once.set("epochs", value);
            return this;
        }

        /** Optimizer steps instead of epochs; 0, the default, lets the epochs decide. */
        public Builder maxSteps(int value) {
            maxSteps = once.set("maxSteps", value);
            return this;
        }

        /** Examples of one micro-batch; 8 by default. */
        public Builder batchSize(int value) {
            batchSize = once.set("batchSize", value);
            return this;
        }

        /** Micro-batches of one optimizer step; 1 by default. */
        public Builder gradientAccumulation(int value) {
            gradientAccumulation = once.set("gradientAccumulation", value);
            return this;
        }

        /** Peak learning rate; 2e-4 by default, and with {@code FineTuner} the usual one of the method. */
        public Builder learningRate(double value) {
            learningRate = once.set("learningRate", value);
            return this;
        }

        /** Course of the learning rate and share of the steps to warm up; a cosine with 3 % by default. */
        public Builder schedule(LearningRateSchedule value, double newWarmupRatio) {
            schedule = once.set("schedule", value);
            warmupRatio = newWarmupRatio;
            return this;
        }

        /** Decoupled weight decay of all that is trained but biases and the weights of norms; 0 by default. */
        public Builder weightDecay(double value) {
            weightDecay = once.set("weightDecay", value);
            return this;
        }

        /** How gradients move the parameters; {@link Optimizer#adamW()} by default. */
        public Builder optimizer(Optimizer value) {
            optimizer = once.set("optimizer", value);
            return this;
        }

        /** Largest gradient norm, 0 for no limit; 1 by default. */
        public Builder maxGradNorm(double value) {
            maxGradNorm = once.set("maxGradNorm", value);
            return this;
        }

        /**
         * Noise on the embedded tokens while they are trained on (NEFTune,
         * <a href="https://arxiv.org/abs/2310.05914">Jain et al. 2023</a>): uniform up to α / √(L · D) for sequences of L tokens of width
         * D; 0, none, by default, 5 is usual. Evaluations have none.
         */
        public Builder neftuneNoiseAlpha(double value) {
            neftuneNoiseAlpha = once.set("neftuneNoiseAlpha", value);
            return this;
        }

        /**
         * How many steps whose loss or gradients are no numbers are skipped, before the next one ends the training; 0 by default. A
         * skipped step changes no value and no moment, and takes its place in the schedule and the order of the examples.
         */
        public Builder maxSkippedSteps(int value) {
            maxSkippedSteps = once.set("maxSkippedSteps", value);
            return this;
        }

        /** Optimizer steps between two evaluations of the held-out examples; by default the steps of an epoch. */
        public Builder evaluationSteps(int value) {
            evaluationSteps = once.set("evaluationSteps", value);
            return this;
        }

        /** Decides the order of the examples, the adapter's start and what dropout hides; 42 by default. */
        public Builder seed(long value) {
            seed = once.set("seed", value);
            return this;
        }

        /** Whether a learning rate was set. */
        public boolean hasLearningRate() {
            return once.isSet("learningRate");
        }

        /** Whether epochs or steps were set. */
        public boolean hasLength() {
            return once.isSet("epochs") || once.isSet("maxSteps");
        }

        /**
         * Checks the settings.
         *
         * @throws SettingsException naming every value that cannot work
         */
        public TrainingSettings build() {
            return new TrainingSettings(
                    epochs,
                    maxSteps,
                    batchSize,
                    gradientAccumulation,
                    learningRate,
                    schedule,
                    warmupRatio,
                    weightDecay,
                    optimizer,
                    maxGradNorm,
                    neftuneNoiseAlpha,
                    maxSkippedSteps,
                    evaluationSteps,
                    seed);
        }
    }
}
