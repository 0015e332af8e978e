package dev.finetune4j.lora.eval;

import dev.finetune4j.lora.eval.EvalReport.Check;
import dev.finetune4j.lora.eval.EvalResult.Interval;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** Writes a report as Markdown. */
final class ReportMarkdown {
    private final EvalReport report;
    private final ReportText text;
    private final StringBuilder out = new StringBuilder();

    ReportMarkdown(EvalReport report, ReportLanguage language) {
        this.report = report;
        this.text = new ReportText(report, language);
    }

    String text() {
        out.append("# ").append(escaped(text.title())).append("\n\n");
        out.append("**").append(text.verdict()).append(".** ");
        out.append(String.join(" ", text.summary())).append("\n\n");
        checks();
        figures();
        answers();
        return out.toString();
    }

    /** The thresholds that were not kept, one sentence each. */
    String failures() {
        return report.checks().stream()
                .filter(check -> !check.isPassed())
                .map(text::line)
                .collect(Collectors.joining("; ", "the model did not keep to its thresholds: ", ""));
    }

    private void checks() {
        if (report.checks().isEmpty()) {
            return;
        }
        for (Check check : report.checks()) {
            out.append(check.isPassed() ? "- ✓ " : "- ✗ ")
                    .append(escaped(text.line(check)))
                    .append('\n');
        }
        out.append('\n');
    }

    private void figures() {
        row(List.of(
                text.word(ReportWord.TASK),
                text.word(ReportWord.METRIC),
                text.word(ReportWord.ITEMS),
                text.word(ReportWord.BASE),
                text.word(ReportWord.TUNED),
                text.word(ReportWord.CHANGE),
                text.word(ReportWord.P_VALUE)));
        out.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
        for (Comparison comparison : report.comparisons()) {
            row(List.of(
                    comparison.name(),
                    comparison.base().metric().name(),
                    String.valueOf(comparison.base().total()),
                    figure(comparison, comparison.base(), comparison.baseInterval()),
                    figure(comparison, comparison.tuned(), comparison.tunedInterval()),
                    text.change(comparison),
                    Figures.pValue(comparison.test().pValue())));
        }
        out.append('\n').append(text.word(ReportWord.METHODS)).append('\n');
    }

    private static String figure(Comparison comparison, EvalResult result, Interval interval) {
        return ReportText.value(comparison, result) + " ("
                + Figures.interval(comparison.base().metric(), interval) + ")";
    }

    private void answers() {
        for (Comparison comparison : report.comparisons()) {
            if (comparison.base().items().stream()
                    .allMatch(item -> item.answer().isEmpty())) {
                continue;
            }
            out.append("\n## ").append(escaped(comparison.name())).append("\n\n");
            row(List.of(text.word(ReportWord.TASK), text.word(ReportWord.BASE), text.word(ReportWord.TUNED)));
            out.append("| --- | --- | --- |\n");
            for (int i : ReportText.shown(comparison)) {
                EvalResult.Item base = comparison.base().items().get(i);
                EvalResult.Item tuned = comparison.tuned().items().get(i);
                row(List.of(base.prompt(), answer(comparison, base), answer(comparison, tuned)));
            }
        }
    }

    private static String answer(Comparison comparison, EvalResult.Item item) {
        String mark = comparison.base().isAccuracy()
                ? item.isCorrect() ? "✓ " : "✗ "
                : Figures.value(comparison.base().metric(), item.score()) + ": ";
        return mark + item.answer();
    }

    private void row(List<String> cells) {
        List<String> safe = new ArrayList<>();
        cells.forEach(cell -> safe.add(escaped(cell)));
        out.append("| ").append(String.join(" | ", safe)).append(" |\n");
    }

    /** What would be a mark-up, or end a line or a cell, stands as it is. */
    private static String escaped(String text) {
        String safe = text.replaceAll("\\p{Cntrl}", " ").replaceAll("[\\\\`*_\\[\\]#|]", "\\\\$0");
        return safe.replaceAll("<(?! )", "\\\\<");
    }
}
