package dev.finetune4j.lora.eval;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.io.AtomicFile;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.lora.eval.Comparison.Role;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What an {@link Evaluation} found: as a record, as JSON, as Markdown and as a page to show around. Immutable.
 *
 * @param title what stands over it; may be empty
 * @param comparisons one for each task, in their order
 * @param checks one for each threshold, in their order
 * @param training the training of the tuned model, whose loss the page draws; null when it was not said
 */
public record EvalReport(
        String title,
        List<Comparison> comparisons,
        List<Check> checks,
        @Nullable TrainingReport training) {
    public EvalReport {
        comparisons = List.copyOf(comparisons);
        checks = List.copyOf(checks);
    }

    /** The same with the training of the tuned model, such as {@code FineTunedModel.report()}. */
    public EvalReport withTraining(TrainingReport report) {
        return new EvalReport(title, comparisons, checks, Arguments.given(report, "withTraining(report)"));
    }

    /**
     * How good the tuned model is at what it was to learn, in unseen phrasings: 0 to 1.
     *
     * @throws IllegalStateException without a {@link Evaluation.Builder#task}
     */
    public double success() {
        return require(Role.TASK, "task").share();
    }

    /**
     * How much of what the base could in general the tuned model still can: of right answers the share that is still right, else the ratio of the
     * figures.
     *
     * @throws IllegalStateException without a {@link Evaluation.Builder#general}
     */
    public double retention() {
        return require(Role.GENERAL, "general").retention();
    }

    /**
     * How much better the tuned model does in trained than in unseen phrasings, from -1 to 1; near 0 is good, well above 0 means that it
     * has learned the rows by heart.
     *
     * @throws IllegalStateException without a {@link Evaluation.Builder#task} or {@link Evaluation.Builder#trained}
     */
    public double overfitting() {
        return require(Role.TRAINED, "trained").share() - success();
    }

    /**
     * How sure {@link #retention} is; empty where it is no share, or the base was right in nothing.
     *
     * @throws IllegalStateException without a {@link Evaluation.Builder#general}
     */
    public Optional<EvalResult.Interval> retentionInterval() {
        return require(Role.GENERAL, "general").retentionInterval();
    }

    /**
     * How sure {@link #overfitting} is, as a difference of two shares; empty where they are none.
     *
     * @throws IllegalStateException without a {@link Evaluation.Builder#task} or {@link Evaluation.Builder#trained}
     */
    public Optional<EvalResult.Interval> overfittingInterval() {
        return require(Role.TRAINED, "trained").intervalOver(require(Role.TASK, "task"));
    }

    /**
     * The comparison of a task.
     *
     * @param task its name
     * @throws IllegalArgumentException if there is none of this name
     */
    public Comparison of(String task) {
        return comparisons.stream()
                .filter(comparison -> comparison.name().equals(task))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("there is no task \"" + task + "\"; there are "
                        + comparisons.stream().map(Comparison::name).toList()));
    }

    Optional<Comparison> find(Role role) {
        return comparisons.stream()
                .filter(comparison -> comparison.role() == role)
                .findFirst();
    }

    private Comparison require(Role role, String call) {
        return find(role)
                .orElseThrow(() ->
                        new IllegalStateException("this was not measured; give the evaluation a " + call + "(…)"));
    }

    /** Whether all thresholds were kept; true without any. */
    public boolean isPassed() {
        return checks.stream().allMatch(Check::isPassed);
    }

    /**
     * Checks that all thresholds were kept, as a unit test does.
     *
     * @throws FineTune4jException naming each that was not, with what was found
     */
    public void requirePassed() {
        if (!isPassed()) {
            throw new FineTune4jException(new ReportMarkdown(this, ReportLanguage.ENGLISH).failures());
        }
    }

    /** All figures with every question and answer, for programs. */
    public String json() {
        return ReportJson.of(this);
    }

    /**
     * Verdict, thresholds, figures and some answers.
     *
     * @param language Chinese, or English for any other
     */
    public String markdown(Locale language) {
        return new ReportMarkdown(this, ReportLanguage.of(language)).text();
    }

    /**
     * One page without scripts or anything to load, for desktop and phone, light and dark: verdict, thresholds, figures, the curve of the
     * loss if the {@linkplain #withTraining training} is known, and answers side by side. Texts of models are escaped, and the page forbids
     * itself all but its own styles ({@code Content-Security-Policy}).
     *
     * @param language Chinese, or English for any other
     */
    public String html(Locale language) {
        return new ReportPage(this, ReportLanguage.of(language)).html();
    }

    /**
     * Writes {@code evaluation.json}, {@code evaluation.md} and {@code evaluation.html}.
     *
     * @param folder made if absent
     * @throws FineTune4jException when a file cannot be written
     */
    public void save(Path folder, Locale language) {
        Arguments.given(folder, "save(folder)");
        Arguments.given(language, "save(language)");
        try {
            Files.createDirectories(folder);
            write(folder.resolve("evaluation.json"), json());
            write(folder.resolve("evaluation.md"), markdown(language));
            write(folder.resolve("evaluation.html"), html(language));
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the report could not be written (" + e + "); check space and rights", e);
        }
    }

    private static void write(Path file, String text) throws IOException {
        AtomicFile.write(file, text.getBytes(StandardCharsets.UTF_8));
    }

    /** The report as Markdown in English. */
    @Override
    public String toString() {
        return markdown(Locale.ENGLISH);
    }

    /**
     * A threshold of an {@link Evaluation}, and whether it was kept.
     *
     * @param figure what is compared
     * @param task the name of the task for {@link Figure#VALUE} and {@link Figure#P_VALUE}; else empty
     * @param bound on which side of the limit the figure has to be
     * @param limit that may be reached
     * @param actual the figure
     */
    public record Check(Figure figure, String task, Bound bound, double limit, double actual) {
        /** What is compared. */
        public enum Figure {
            /** {@link #success}. */
            SUCCESS,
            /** {@link #retention}. */
            RETENTION,
            /** {@link #overfitting}. */
            OVERFITTING,
            /** The figure of the tuned model in a task. */
            VALUE,
            /** How likely it is that the tuned model is better by chance alone; 1 where it is not better. */
            P_VALUE
        }

        /** On which side of the limit. */
        public enum Bound {
            /** At the limit or above it. */
            AT_LEAST,
            /** At the limit or below it. */
            AT_MOST
        }

        /** Whether the figure is on the right side; no number is on none. */
        public boolean isPassed() {
            return bound == Bound.AT_LEAST ? actual >= limit : actual <= limit;
        }
    }
}
