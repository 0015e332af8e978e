package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ChatModel;
import java.util.Locale;

/**
 * Compares a fine-tuned model with its base: was the task learned, was general ability retained, and was the task learned
 * rather than memorised?
 *
 * @param taskBefore the task in phrasings that were not trained, asked of the base
 * @param taskAfter the same, asked of the tuned model
 * @param generalBefore general questions, asked of the base
 * @param generalAfter the same, asked of the tuned model
 * @param trainedAfter the task in the trained phrasings, asked of the tuned model
 */
public record ComparisonReport(
        EvalResult taskBefore,
        EvalResult taskAfter,
        EvalResult generalBefore,
        EvalResult generalAfter,
        EvalResult trainedAfter) {
    /**
     * Evaluates both models.
     *
     * @param task the task in phrasings that are not in the training data
     * @param general questions that have nothing to do with the task
     * @param trained the task in phrasings of the training data
     */
    public static ComparisonReport compare(
            ChatModel before, ChatModel after, EvalSuite task, EvalSuite general, EvalSuite trained) {
        return new ComparisonReport(
                task.run(before), task.run(after), general.run(before), general.run(after), trained.run(after));
    }

    /** Share of unseen phrasings that the tuned model answers correctly. */
    public double success() {
        return taskAfter.accuracy();
    }

    /** Share of the base's correct general answers that the tuned model still gives. */
    public double retention() {
        return generalAfter.retainedFrom(generalBefore);
    }

    /**
     * How much better the tuned model does on trained than on unseen phrasings, from -1 to 1; near 0 is good, well above 0
     * means that it has learned the rows by heart.
     */
    public double overfitting() {
        return trainedAfter.accuracy() - taskAfter.accuracy();
    }

    /** The figures as a table of plain text. */
    public String table() {
        StringBuilder table = new StringBuilder();
        String row = "%-46s %14s %14s%n";
        table.append(String.format(Locale.ROOT, row, "", "base", "fine-tuned"));
        table.append(String.format(Locale.ROOT, row, taskAfter.name(), share(taskBefore), share(taskAfter)));
        table.append(String.format(Locale.ROOT, row, generalAfter.name(), share(generalBefore), share(generalAfter)));
        table.append(String.format(Locale.ROOT, row, trainedAfter.name(), "", share(trainedAfter)));
        table.append(
                String.format(Locale.ROOT, "%n%-46s %13.0f%%%n", "task learned (unseen phrasings)", 100 * success()));
        table.append(String.format(Locale.ROOT, "%-46s %13.0f%%%n", "general answers retained", 100 * retention()));
        table.append(String.format(
                Locale.ROOT, "%-46s %+13.0f%%%n", "over-fitting (trained minus unseen)", 100 * overfitting()));
        return table.toString();
    }

    private static String share(EvalResult result) {
        return String.format(Locale.ROOT, "%d/%d %3.0f%%", result.correct(), result.total(), 100 * result.accuracy());
    }
}
