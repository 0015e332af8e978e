package dev.finetune4j.lora.eval;

import dev.finetune4j.lora.eval.Comparison.Role;
import dev.finetune4j.lora.eval.EvalReport.Check;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** What a report says in sentences, for a Markdown text and a page alike. */
record ReportText(EvalReport report, ReportLanguage language) {
    private static final int SHOWN = 8;
    private static final int SHOWN_BESIDE = 4;

    String title() {
        return report.title().isEmpty() ? word(ReportWord.TITLE) : report.title();
    }

    /** The verdict in one word. */
    String verdict() {
        if (report.checks().isEmpty()) {
            return word(ReportWord.MEASURED);
        }
        return word(report.isPassed() ? ReportWord.PASSED : ReportWord.FAILED);
    }

    /** The verdict, and what is behind it, in sentences. */
    List<String> summary() {
        List<String> lines = new ArrayList<>();
        int checks = report.checks().size();
        long missed =
                report.checks().stream().filter(check -> !check.isPassed()).count();
        if (checks == 0) {
            lines.add(word(ReportWord.MEASURED_TEXT));
        } else {
            lines.add(
                    missed == 0 ? word(ReportWord.PASSED_TEXT, checks) : word(ReportWord.FAILED_TEXT, missed, checks));
        }
        Optional<Comparison> task = report.find(Role.TASK);
        task.ifPresent(found ->
                lines.add(word(ReportWord.SUCCESS_TEXT, value(found, found.tuned()), value(found, found.base()))));
        if (report.find(Role.GENERAL).isPresent()) {
            lines.add(word(ReportWord.RETENTION_TEXT, Figures.percent(report.retention())));
        }
        if (task.isPresent() && report.find(Role.TRAINED).isPresent()) {
            lines.add(word(ReportWord.OVERFITTING_TEXT, Figures.points(report.overfitting(), language)));
        }
        return lines;
    }

    /** A threshold with what was found. */
    String line(Check check) {
        return Figures.nameOf(check, language) + " " + Figures.boundOf(check, language) + " "
                + Figures.ofCheck(check, check.limit(), report, language) + "; " + word(ReportWord.FOUND) + " "
                + Figures.ofCheck(check, check.actual(), report, language);
    }

    static String value(Comparison comparison, EvalResult result) {
        return Figures.value(comparison.base().metric(), result.value());
    }

    String change(Comparison comparison) {
        return Figures.difference(comparison.base().metric(), comparison.difference(), language);
    }

    String significance(Comparison comparison) {
        return word(comparison.test().isSignificant() ? ReportWord.SIGNIFICANT : ReportWord.NOT_SIGNIFICANT);
    }

    /** Indices of the items to show: those that the tuned model does worst, then in the order of the task. */
    static List<Integer> shown(Comparison comparison) {
        boolean higher = comparison.base().metric().higherIsBetter();
        List<EvalResult.Item> items = comparison.tuned().items();
        return IntStream.range(0, items.size())
                .boxed()
                .sorted(Comparator.comparingDouble(
                        i -> higher ? items.get(i).score() : -items.get(i).score()))
                .limit(comparison.role() == Role.TASK ? SHOWN : SHOWN_BESIDE)
                .toList();
    }

    String word(ReportWord word, Object... values) {
        return word.in(language, values);
    }
}
