package dev.finetune4j.data;

import dev.finetune4j.core.message.Html;
import java.util.List;
import java.util.Locale;

/** Writes a report as an HTML page, whose texts are all escaped. */
final class ReportPage {
    private static final String STYLE = """
        :root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dde2ea;--ground:#f6f8fb;--card:#fff;--good:#0b7a4b;--mark:#d9f2e4;--warn:#8a4b00;--warnbg:#fff3df;--bar:#4a7bd0}
        @media(prefers-color-scheme:dark){:root{--ink:#e6ebf2;--soft:#98a4b5;--line:#2c3644;--ground:#10151c;--card:#18202a;--good:#6fdca6;--mark:#123d2a;--warn:#ffc978;--warnbg:#3a2a10;--bar:#5d8ee0}}
        *{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
        main{max-width:60rem;margin:0 auto;padding:1rem}h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.1rem;margin:1.75rem 0 .5rem}
        .figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem}
        .figure{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.6rem .8rem}
        .figure b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums}.figure span,.note{color:var(--soft);font-size:.85rem}
        .warning{background:var(--warnbg);color:var(--warn);border-radius:.6rem;padding:.6rem .8rem;margin:.5rem 0}
        .bars{display:grid;grid-template-columns:auto auto 1fr;gap:.25rem .6rem;align-items:center;font-variant-numeric:tabular-nums;font-size:.9rem}
        .bars span{text-align:right;white-space:nowrap}.bars i{display:block;height:.9rem;background:var(--bar);border-radius:.2rem;min-width:1px}
        article{background:var(--card);border:1px solid var(--line);border-radius:.6rem;margin:.6rem 0;overflow:hidden}
        article h3{font-size:.85rem;font-weight:600;color:var(--soft);margin:0;padding:.5rem .8rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
        pre{margin:0;padding:.7rem .8rem;white-space:pre-wrap;overflow-wrap:anywhere;font:14px/1.55 ui-monospace,monospace;color:var(--soft);max-height:26rem;overflow:auto}
        mark{background:var(--mark);color:var(--good);border-radius:.2rem;box-decoration-break:clone;-webkit-box-decoration-break:clone}
        """;

    private final DataReport report;
    private final StringBuilder out = new StringBuilder();

    ReportPage(DataReport report) {
        this.report = report;
    }

    String html() {
        out.append("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
                .append("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
                .append("<title>Training data</title><style>\n")
                .append(STYLE)
                .append("</style></head><body><main>\n<h1>Training data</h1>\n");
        for (String warning : report.warnings()) {
            out.append("<p class=\"warning\">").append(Html.escaped(warning)).append("</p>\n");
        }
        if (report.examined() < report.rows()) {
            out.append("<p class=\"note\">Counted over the first ")
                    .append(number(report.examined()))
                    .append(" rows; the rest is looked at while training.</p>\n");
        }
        figures();
        lengths();
        out.append("<h2>The first rows, as the model sees them</h2>\n<p class=\"note\">")
                .append("<mark>Marked</mark> tokens are learned; the rest is what the model reads.</p>\n");
        report.preview().forEach(this::row);
        return out.append("</main></body></html>\n").toString();
    }

    private void figures() {
        DataReport.Texts texts = report.texts();
        out.append("<div class=\"figures\">\n");
        figure(number(report.rows()), "rows");
        figure(number(report.skipped()), "left out");
        figure(number(report.truncated()), "shortened");
        figure(number(report.totalTokens()), "tokens");
        figure(percent(report.targetTokens(), report.totalTokens()), "of them learned");
        figure(number(report.answersWithStop()) + " / " + number(report.answers()), "answers with an end");
        figure(number(texts.duplicates()), "repeat an earlier row");
        figure(number(texts.nearDuplicates()), "nearly repeat one");
        figure(number(texts.withUnknown()), "with unknown characters");
        figure(number(texts.withSpecial()), "spell a special token");
        figure(String.format(Locale.ROOT, "%.0f %%", 100 * report.shape().padded()), "padding in batches of 8");
        figure(
                String.format(Locale.ROOT, "%.1f %%", 100 * report.shape().packed()),
                "of packed rows of " + number(report.shape().limit()) + " filled");
        out.append("</div>\n");
    }

    private void figure(String value, String name) {
        out.append("<div class=\"figure\"><b>")
                .append(value)
                .append("</b><span>")
                .append(name)
                .append("</span></div>\n");
    }

    private void lengths() {
        List<DataReport.Bin> bins = report.shape().histogram();
        int most = bins.stream().mapToInt(DataReport.Bin::examples).max().orElse(1);
        out.append("<h2>Lengths in tokens</h2>\n<p class=\"note\">Longest ")
                .append(number(report.longest()))
                .append(", median ")
                .append(number(report.shape().median()))
                .append(", limit ")
                .append(number(report.shape().limit()))
                .append(".</p>\n<div class=\"bars\">\n");
        for (DataReport.Bin bin : bins) {
            out.append("<span>≤ ")
                    .append(number(bin.upTo()))
                    .append("</span><span>")
                    .append(number(bin.examples()));
            out.append(String.format(
                    Locale.ROOT, "</span><i style=\"width:%.1f%%\"></i>\n", 100.0 * bin.examples() / most));
        }
        out.append("</div>\n");
    }

    private void row(DataReport.PreviewRow row) {
        out.append("<article><h3>")
                .append(Html.escaped(row.where().source()))
                .append(", row ")
                .append(row.where().row())
                .append("</h3><pre>");
        for (DataReport.Piece piece : row.pieces()) {
            String text = Html.escaped(piece.text());
            out.append(piece.learned() ? "<mark>" + text + "</mark>" : text);
        }
        out.append("</pre></article>\n");
    }

    private static String percent(long part, long whole) {
        return String.format(Locale.ROOT, "%.0f %%", whole == 0 ? 0 : 100.0 * part / whole);
    }

    private static String number(long value) {
        return String.format(Locale.ROOT, "%,d", value);
    }
}
