package dev.finetune4j.lora.eval;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.lora.eval.Comparison.Role;
import dev.finetune4j.lora.eval.EvalReport.Check;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Compares a fine-tuned model with its base: was the task learned, was general ability retained, and was the task learned rather than
 * memorised? Both are asked the same, so that every difference is tested item by item.
 *
 * <pre>{@code
 * EvalReport report = Evaluation.builder()
 *         .task(EvalTask.questions("who it is", unseenPhrasings))
 *         .trained(EvalTask.questions("who it is, as trained", trainedPhrasings))
 *         .general(EvalTask.generalKnowledge())
 *         .also(EvalTask.perplexity("held-out rows", split.heldOut()))
 *         .minSuccess(0.9)
 *         .minRetention(0.95)
 *         .build()
 *         .compare(tuned.base(), tuned);
 * report.requirePassed();                                   // in a unit test
 * report.withTraining(tuned.report()).save(folder, Locale.CHINESE);
 * }</pre>
 *
 * <p>Immutable. The adapter sits on the loaded base, so that comparing takes no more memory than one of them.
 */
public final class Evaluation {
    private final String title;
    private final long seed;
    private final Map<EvalTask, Role> tasks;
    private final List<Threshold> thresholds;

    /** @param task its name, or empty */
    private record Threshold(Check.Figure figure, String task, Check.Bound bound, double limit) {}

    private Evaluation(String title, long seed, Map<EvalTask, Role> tasks, List<Threshold> thresholds) {
        this.title = title;
        this.seed = seed;
        this.tasks = new LinkedHashMap<>(tasks);
        this.thresholds = List.copyOf(thresholds);
    }

    /** Starts with nothing to measure; one task is required. */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Measures both models.
     *
     * @param base the model as it was, such as {@code FineTunedModel.base()}
     * @param tuned the model that was trained
     * @throws IllegalArgumentException if a task needs log-probabilities and a model is no {@link EvaluableModel}
     * @throws dev.finetune4j.core.FineTune4jException when the thread is interrupted; the flag stays set
     */
    public EvalReport compare(ChatModel base, ChatModel tuned) {
        Arguments.given(base, "compare(base)");
        Arguments.given(tuned, "compare(tuned)");
        List<Comparison> comparisons = new ArrayList<>();
        tasks.forEach((task, role) -> comparisons.add(Comparison.of(role, task.run(base), task.run(tuned), seed)));
        EvalReport measured = new EvalReport(title, comparisons, List.of(), null);
        return new EvalReport(
                title,
                comparisons,
                thresholds.stream().map(threshold -> check(threshold, measured)).toList(),
                null);
    }

    private static Check check(Threshold threshold, EvalReport report) {
        double actual = switch (threshold.figure()) {
            case SUCCESS -> report.success();
            case RETENTION -> report.retention();
            case OVERFITTING -> report.overfitting();
            case VALUE -> report.of(threshold.task()).tuned().value();
            case P_VALUE -> {
                Comparison comparison = report.of(threshold.task());
                yield comparison.isBetter() ? comparison.test().pValue() : 1;
            }
        };
        return new Check(threshold.figure(), threshold.task(), threshold.bound(), threshold.limit(), actual);
    }

    /** Collects tasks and thresholds. Not thread-safe. */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private final Map<EvalTask, Role> tasks = new LinkedHashMap<>();
        private final List<Threshold> thresholds = new ArrayList<>();
        private String title = "";
        private long seed = 1;

        private Builder() {}

        /** What stands over the report. */
        public Builder title(String text) {
            title = once.set("title", Arguments.given(text, "title(text)"));
            return this;
        }

        /** Start of the random numbers of the bootstrap; 1 by default. */
        public Builder seed(long number) {
            seed = once.set("seed", number);
            return this;
        }

        /** What was to be learned, in phrasings that are not in the training data. */
        public Builder task(EvalTask task) {
            return add("task", task, Role.TASK);
        }

        /** What was to be learned, in phrasings of the training data: how much better the model does there shows over-fitting. */
        public Builder trained(EvalTask task) {
            return add("trained", task, Role.TRAINED);
        }

        /** What has nothing to do with the task and should stay, such as {@link EvalTask#generalKnowledge}. */
        public Builder general(EvalTask task) {
            return add("general", task, Role.GENERAL);
        }

        private Builder add(String name, EvalTask task, Role role) {
            tasks.put(once.set(name, Arguments.given(task, name + "(task)")), role);
            return this;
        }

        /** Something else to measure, such as the perplexity of held-out examples. Several calls add up. */
        public Builder also(EvalTask task) {
            tasks.put(Arguments.given(task, "also(task)"), Role.OTHER);
            return this;
        }

        /** The least {@link EvalReport#success}, 0 to 1. */
        public Builder minSuccess(double share) {
            return threshold(Check.Figure.SUCCESS, "", Check.Bound.AT_LEAST, share);
        }

        /** The least {@link EvalReport#retention}, 0 to 1. */
        public Builder minRetention(double share) {
            return threshold(Check.Figure.RETENTION, "", Check.Bound.AT_LEAST, share);
        }

        /** The greatest {@link EvalReport#overfitting}, such as 0.1. */
        public Builder maxOverfitting(double difference) {
            return threshold(Check.Figure.OVERFITTING, "", Check.Bound.AT_MOST, difference);
        }

        /**
         * The least figure of the tuned model in a task.
         *
         * @param task its name
         * @param value as {@link EvalResult#value} gives it
         */
        public Builder atLeast(String task, double value) {
            return threshold(Check.Figure.VALUE, task, Check.Bound.AT_LEAST, value);
        }

        /**
         * The greatest figure of the tuned model in a task, such as a perplexity.
         *
         * @param task its name
         * @param value as {@link EvalResult#value} gives it
         */
        public Builder atMost(String task, double value) {
            return threshold(Check.Figure.VALUE, task, Check.Bound.AT_MOST, value);
        }

        /**
         * The tuned model has to be better than the base in a task, and not by chance.
         *
         * @param task its name
         * @param level how likely chance alone may be, such as 0.05
         */
        public Builder improved(String task, double level) {
            return threshold(Check.Figure.P_VALUE, task, Check.Bound.AT_MOST, level);
        }

        private Builder threshold(Check.Figure figure, String task, Check.Bound bound, double limit) {
            thresholds.add(new Threshold(figure, Arguments.given(task, "task"), bound, limit));
            return this;
        }

        /**
         * The evaluation.
         *
         * @throws SettingsException naming all that is missing or cannot work together
         */
        public Evaluation build() {
            List<String> problems = new ArrayList<>();
            if (tasks.isEmpty()) {
                problems.add("there is nothing to measure; call task(…), general(…) or also(…)");
            }
            Set<String> names = new HashSet<>();
            tasks.forEach((task, role) -> {
                if (!names.add(task.name())) {
                    problems.add("two tasks are called \"" + task.name() + "\"; give each a name of its own");
                }
                if (role != Role.OTHER && !task.metric().higherIsBetter()) {
                    problems.add("\"" + task.name() + "\" is measured by "
                            + task.metric().name() + ", which is no share of what a model can; measure it by also(…)");
                }
            });
            thresholds.forEach(threshold -> problem(threshold, names, problems));
            if (!problems.isEmpty()) {
                throw new SettingsException(problems);
            }
            return new Evaluation(title, seed, tasks, thresholds);
        }

        private void problem(Threshold threshold, Set<String> names, List<String> problems) {
            switch (threshold.figure()) {
                case SUCCESS -> require(Role.TASK, "minSuccess(…) needs task(…)", problems);
                case RETENTION -> require(Role.GENERAL, "minRetention(…) needs general(…)", problems);
                case OVERFITTING -> {
                    require(Role.TASK, "maxOverfitting(…) needs task(…)", problems);
                    require(Role.TRAINED, "maxOverfitting(…) needs trained(…)", problems);
                }
                case VALUE, P_VALUE -> {
                    if (!names.contains(threshold.task())) {
                        problems.add("a threshold is set for \"" + threshold.task() + "\", but the tasks are " + names);
                    }
                }
            }
        }

        private void require(Role role, String otherwise, List<String> problems) {
            if (!tasks.containsValue(role)) {
                problems.add(otherwise);
            }
        }
    }
}
