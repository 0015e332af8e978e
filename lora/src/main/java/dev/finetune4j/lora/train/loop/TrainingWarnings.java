package dev.finetune4j.lora.train.loop;

import dev.finetune4j.data.DataReport;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Why a training cannot have learned what it should, as far as its numbers tell. Stateless. */
final class TrainingWarnings {
    private static final int MIN_STEPS = 24;
    private static final double MIN_KNOWN = 0.9;
    private static final double MIN_FALL = 0.01;
    /** Nats per token of rows that a model knows already: nine of ten tokens are right for certain. */
    private static final double KNOWN = 0.1;

    private TrainingWarnings() {}

    /** What speaks against the training itself, one sentence for each cause. */
    static List<String> of(OutcomeCheck.Findings found, TrainingSettings settings, Expectations expected) {
        List<String> warnings = new ArrayList<>();
        List<StepReport> steps = found.steps();
        if (found.outcome() == TrainingReport.Outcome.COMPLETED && steps.size() < MIN_STEPS) {
            warnings.add(format(
                    "the training had only %d optimizer step%s, and fewer than %d seldom teach anything; raise epochs or"
                            + " maxSteps, or lower batchSize or gradientAccumulation",
                    steps.size(), steps.size() == 1 ? "" : "s", MIN_STEPS));
        }
        if (settings.learningRate() > expected.highestRate()) {
            warnings.add(format(
                    "the learning rate of %.2g is far too high: what is trained here learns at about %.2g, and not above"
                            + " %.2g",
                    settings.learningRate(), expected.usualRate(), expected.highestRate()));
        }
        if (!found.measured()) {
            warnings.add(
                    "memory ran out where the outcome was to be measured, so nobody knows whether the model learned; what was"
                            + " trained is kept. Ask it, or train with smaller batches");
        }
        if (!steps.isEmpty()) {
            String fall = fall(steps.get(0), found.losses());
            if (fall != null) {
                warnings.add(fall);
            }
        }
        // Where something above is the cause, this is no news.
        if (warnings.isEmpty() && found.known() < MIN_KNOWN * found.rows()) {
            warnings.add(format(
                    "of the %d rows of the data set the model answers only about %d word for word, and the loss of the last"
                            + " step was %.2f; raise epochs (learning by heart may take a hundred) or the"
                            + " learning rate, let more values learn (a higher rank, more virtual tokens, another method), and"
                            + " see whether the base knows the characters of the answers",
                    found.rows(), found.known(), steps.get(steps.size() - 1).loss()));
        }
        return warnings;
    }

    private static @Nullable String fall(StepReport first, TrainingReport.Losses losses) {
        if (losses.tuned() < KNOWN) {
            return null;
        }
        if (losses.tuned() > losses.base() * (1 + MIN_FALL)) {
            return format(
                    "the model has become worse than the base: its loss on the rows of the first step is %.4f, the base's"
                            + " %.4f; lower the learning rate, and check that the chat template is the model's own",
                    losses.tuned(), losses.base());
        }
        if (losses.tuned() > first.loss() * (1 - MIN_FALL)) {
            return format(
                    "the loss did not fall: on the rows of the first step it was %.4f, and %.4f after the last; raise the"
                            + " learning rate or train for more steps",
                    first.loss(), losses.tuned());
        }
        return null;
    }

    /** All warnings of a report, those about the data first. */
    static List<String> with(@Nullable DataReport data, List<String> ofTraining) {
        List<String> all = new ArrayList<>(data == null ? List.of() : data.warnings());
        all.addAll(ofTraining);
        return all;
    }

    private static String format(String text, Object... values) {
        return String.format(Locale.ROOT, text, values);
    }
}
