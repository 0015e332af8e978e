package dev.finetune4j.lora.eval;

import dev.finetune4j.core.message.Html;
import dev.finetune4j.lora.eval.Comparison.Role;
import dev.finetune4j.lora.eval.EvalReport.Check;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Writes a report as one HTML page. It has no scripts and no attributes with styles, and its policy allows the one style sheet in it by its
 * hash, so that a text of a model could do nothing even if it were not escaped.
 */
final class ReportPage {
    private static final String STYLE = """
        :root{color-scheme:light dark;--ink:#1b2430;--soft:#5a6675;--line:#dfe4ec;--ground:#f5f7fa;--card:#fff;--base:#9aa7b8;--tuned:#1f6fd6;--good:#0b7a4b;--goodbg:#e2f4ea;--bad:#b3261e;--badbg:#fbe9e7;--held:#c2570c}
        @media(prefers-color-scheme:dark){:root{--ink:#e7ecf3;--soft:#9aa6b7;--line:#2b3543;--ground:#0f141b;--card:#17202a;--base:#66758a;--tuned:#6aa9ff;--good:#6fdca6;--goodbg:#12301f;--bad:#ff9a92;--badbg:#3a1916;--held:#ffa25c}}
        *{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,"PingFang SC","Noto Sans CJK SC","Microsoft YaHei",sans-serif}
        main{max-width:64rem;margin:0 auto;padding:1.25rem 1rem 3rem}h1{font-size:1.6rem;line-height:1.25;margin:.25rem 0 1rem}h2{font-size:1.15rem;margin:2.25rem 0 .6rem}h3{font-size:1rem;margin:1.25rem 0 .5rem}
        p{margin:.3rem 0}.note{color:var(--soft);font-size:.875rem}
        .verdict{border-radius:.75rem;padding:1rem 1.1rem;background:var(--card);border:1px solid var(--line)}.verdict strong{display:block;font-size:1.35rem;margin-bottom:.25rem}
        .verdict.good{background:var(--goodbg);border-color:transparent}.verdict.good strong{color:var(--good)}.verdict.bad{background:var(--badbg);border-color:transparent}.verdict.bad strong{color:var(--bad)}
        .cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(14rem,1fr));gap:.75rem;margin-top:1rem}
        .card,.table,.chartbox{background:var(--card);border:1px solid var(--line);border-radius:.75rem}.card{padding:.8rem 1rem}.card b{display:block;font-size:1.9rem;line-height:1.2;font-variant-numeric:tabular-nums}
        .bars{display:grid;grid-template-columns:auto 1fr auto;gap:.15rem .5rem;align-items:center;font-size:.8rem;color:var(--soft);margin-top:.45rem;font-variant-numeric:tabular-nums}
        .bars svg{display:block;width:100%;height:.55rem}.track{fill:var(--line)}.b{fill:var(--base)}.t{fill:var(--tuned)}
        ul.checks{list-style:none;margin:0;padding:0}ul.checks li{padding:.35rem 0;border-bottom:1px solid var(--line)}ul.checks li:last-child{border:0}.yes{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:600}
        .table{overflow:hidden}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:.5rem .75rem;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}th{font-size:.8rem;color:var(--soft);font-weight:600}td small{display:block;color:var(--soft)}
        .chartbox{padding:1rem}.chart{display:grid;grid-template-columns:auto 1fr;gap:.25rem .5rem;font-size:.8rem;color:var(--soft);font-variant-numeric:tabular-nums}.y{display:flex;flex-direction:column;justify-content:space-between;text-align:right;margin:-.6rem 0}.chart>svg{width:100%;height:16rem;overflow:visible}.x{grid-column:2;display:flex;justify-content:space-between}
        .grid{stroke:var(--line);stroke-width:1}.raw,.smooth,.held{fill:none;vector-effect:non-scaling-stroke;stroke-linecap:round;stroke-linejoin:round}.grid{vector-effect:non-scaling-stroke}.raw{stroke:var(--tuned);stroke-width:1.25;opacity:.4}.smooth{stroke:var(--tuned);stroke-width:2.5}.held{stroke:var(--held);stroke-width:8}
        .legend{display:flex;flex-wrap:wrap;gap:.25rem 1rem;font-size:.85rem;color:var(--soft)}.key{width:1.5rem;height:.65rem;margin-right:.35rem}
        .answers{display:grid;gap:.75rem}.answer{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:.75rem 1rem}.answer>p{font-weight:600;overflow-wrap:anywhere}.answer>p.note{font-weight:400}.pair{display:grid;grid-template-columns:1fr 1fr;gap:.75rem;margin-top:.4rem}.pair div{border-left:3px solid var(--line);padding-left:.65rem;overflow-wrap:anywhere;white-space:pre-wrap}.pair .right{border-color:var(--good)}.pair .wrong{border-color:var(--bad)}.pair small{display:block;color:var(--soft);white-space:normal}
        @media(max-width:40rem){thead{display:none}tbody,tr,td{display:block}tr{padding:.5rem 0;border-bottom:1px solid var(--line)}tr:last-child{border:0}td{border:0;padding:.15rem .9rem;display:flex;justify-content:space-between;gap:1rem;text-align:right}td::before{content:attr(data-name);color:var(--soft);text-align:left}td:first-child{font-weight:600;text-align:left}td:first-child::before{content:none}.pair{grid-template-columns:1fr}.chart>svg{height:12rem}}
        @media print{body{background:#fff}.answer,.card,tr{break-inside:avoid}}
        """;

    private final EvalReport report;
    private final ReportLanguage language;
    private final ReportText text;
    private final StringBuilder out = new StringBuilder();

    ReportPage(EvalReport report, ReportLanguage language) {
        this.report = report;
        this.language = language;
        this.text = new ReportText(report, language);
    }

    String html() {
        out.append("<!DOCTYPE html>\n<html lang=\"")
                .append(language.code())
                .append("\"><head><meta charset=\"utf-8\">\n")
                .append("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-")
                .append(hash(STYLE))
                .append("'; base-uri 'none'; form-action 'none'\">\n")
                .append("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>")
                .append(Html.escaped(text.title()))
                .append("</title>\n<style>")
                .append(STYLE)
                .append("</style></head><body><main>\n<h1>")
                .append(Html.escaped(text.title()))
                .append("</h1>\n");
        verdict();
        cards();
        checks();
        loss();
        figures();
        answers();
        return out.append("</main></body></html>\n").toString();
    }

    private void verdict() {
        String kind = report.checks().isEmpty() ? "" : report.isPassed() ? " good" : " bad";
        String mark = report.checks().isEmpty() ? "" : report.isPassed() ? "✓ " : "✗ ";
        out.append("<section class=\"verdict").append(kind).append("\"><strong>");
        out.append(mark).append(text.verdict()).append("</strong>\n");
        text.summary()
                .forEach(line -> out.append("<p>").append(Html.escaped(line)).append("</p>\n"));
        out.append("</section>\n");
    }

    private void cards() {
        out.append("<section class=\"cards\">\n");
        Optional<Comparison> task = report.find(Role.TASK);
        task.ifPresent(found -> card(
                Figures.percent(report.success()),
                ReportWord.SUCCESS,
                text.word(ReportWord.SUCCESS_NOTE)
                        + range(Figures.interval(found.base().metric(), found.tunedInterval())),
                found));
        report.find(Role.GENERAL)
                .ifPresent(found -> card(
                        Figures.percent(report.retention()),
                        ReportWord.RETENTION,
                        text.word(ReportWord.RETENTION_NOTE)
                                + range(report.retentionInterval()
                                        .map(Figures::percent)
                                        .orElse("")),
                        found));
        Optional<Comparison> trained = report.find(Role.TRAINED);
        if (task.isPresent() && trained.isPresent()) {
            overfitting(task.get(), trained.get());
        }
        report.comparisons().stream()
                .filter(comparison -> comparison.role() == Role.OTHER)
                .forEach(this::card);
        out.append("</section>\n");
    }

    private void overfitting(Comparison task, Comparison trained) {
        begin(
                Figures.points(report.overfitting(), language),
                text.word(ReportWord.OVERFITTING),
                text.word(ReportWord.OVERFITTING_NOTE)
                        + range(report.overfittingInterval()
                                .map(interval -> Figures.points(interval, language))
                                .orElse("")));
        bar(text.word(ReportWord.TRAINED), trained.share(), "t", ReportText.value(trained, trained.tuned()));
        bar(text.word(ReportWord.UNSEEN), task.share(), "t", ReportText.value(task, task.tuned()));
        out.append("</div></div>\n");
    }

    /** An interval behind what a figure is of. */
    private static String range(String interval) {
        return interval.isEmpty() ? "" : " (" + interval + ")";
    }

    private void card(String figure, ReportWord name, String note, Comparison comparison) {
        begin(figure, text.word(name), note);
        bars(comparison);
    }

    private void card(Comparison comparison) {
        begin(
                ReportText.value(comparison, comparison.tuned()),
                comparison.name(),
                comparison.base().metric().name()
                        + range(Figures.interval(comparison.base().metric(), comparison.tunedInterval())));
        bars(comparison);
    }

    private void begin(String figure, String name, String note) {
        out.append("<div class=\"card\"><span>")
                .append(Html.escaped(name))
                .append("</span><b>")
                .append(Html.escaped(figure))
                .append("</b><span class=\"note\">")
                .append(Html.escaped(note))
                .append("</span>\n<div class=\"bars\">");
    }

    private void bars(Comparison comparison) {
        double base = comparison.base().value();
        double tuned = comparison.tuned().value();
        double hundred = 100;
        double whole = switch (comparison.base().metric().kind()) {
            case ACCURACY -> 1;
            case SCORE, BLEU -> hundred;
            case PERPLEXITY -> Math.max(base, tuned);
        };
        bar(text.word(ReportWord.BASE), base / whole, "b", ReportText.value(comparison, comparison.base()));
        bar(text.word(ReportWord.TUNED), tuned / whole, "t", ReportText.value(comparison, comparison.tuned()));
        out.append("</div></div>\n");
    }

    private void bar(String name, double share, String kind, String value) {
        int width = 1000;
        long filled = Double.isFinite(share) ? Math.round(width * Math.min(1, Math.max(0, share))) : 0;
        out.append("<span>").append(Html.escaped(name)).append("</span>");
        out.append(String.format(
                Locale.ROOT,
                "<svg viewBox=\"0 0 %d 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\""
                        + " width=\"%d\" height=\"10\"/><rect class=\"%s\" width=\"%d\" height=\"10\"/></svg>",
                width,
                width,
                kind,
                filled));
        out.append("<span>").append(Html.escaped(value)).append("</span>\n");
    }

    private void checks() {
        if (report.checks().isEmpty()) {
            return;
        }
        heading(ReportWord.THRESHOLDS);
        out.append("<ul class=\"checks\">\n");
        for (Check check : report.checks()) {
            out.append(check.isPassed() ? "<li><span class=\"yes\">✓</span> " : "<li><span class=\"no\">✗</span> ")
                    .append(Html.escaped(text.line(check)))
                    .append("</li>\n");
        }
        out.append("</ul>\n");
    }

    private void loss() {
        TrainingReport training = report.training();
        if (training == null) {
            return;
        }
        LossChart chart = new LossChart(training, language);
        if (chart.isEmpty()) {
            return;
        }
        heading(ReportWord.LOSS);
        List<StepReport> steps = training.steps();
        out.append("<p class=\"note\">")
                .append(Html.escaped(text.word(
                        ReportWord.LOSS_NOTE,
                        Figures.number(steps.get(0).loss()),
                        Figures.number(training.finalLoss()),
                        steps.size())))
                .append("</p>\n<div class=\"chartbox\">")
                .append(chart.html())
                .append("</div>\n");
    }

    private void figures() {
        heading(ReportWord.FIGURES);
        List<ReportWord> columns = List.of(
                ReportWord.TASK,
                ReportWord.ITEMS,
                ReportWord.BASE,
                ReportWord.TUNED,
                ReportWord.CHANGE,
                ReportWord.BETTER_WORSE,
                ReportWord.P_VALUE);
        out.append("<div class=\"table\"><table><thead><tr>");
        columns.forEach(column -> out.append("<th>").append(text.word(column)).append("</th>"));
        out.append("</tr></thead><tbody>\n");
        for (Comparison comparison : report.comparisons()) {
            Metric metric = comparison.base().metric();
            out.append("<tr>");
            cell(ReportWord.TASK, comparison.name(), metric.name());
            cell(ReportWord.ITEMS, String.valueOf(comparison.base().total()), "");
            cell(
                    ReportWord.BASE,
                    ReportText.value(comparison, comparison.base()),
                    Figures.interval(metric, comparison.baseInterval()));
            cell(
                    ReportWord.TUNED,
                    ReportText.value(comparison, comparison.tuned()),
                    Figures.interval(metric, comparison.tunedInterval()));
            cell(ReportWord.CHANGE, text.change(comparison), "");
            cell(
                    ReportWord.BETTER_WORSE,
                    comparison.test().better() + " / " + comparison.test().worse(),
                    "");
            cell(ReportWord.P_VALUE, Figures.pValue(comparison.test().pValue()), text.significance(comparison));
            out.append("</tr>\n");
        }
        out.append("</tbody></table></div>\n<p class=\"note\">")
                .append(Html.escaped(text.word(ReportWord.METHODS)))
                .append("</p>\n");
    }

    private void cell(ReportWord column, String value, String small) {
        out.append("<td data-name=\"")
                .append(text.word(column))
                .append("\"><span>")
                .append(Html.escaped(value));
        if (!small.isEmpty()) {
            out.append("<small>").append(Html.escaped(small)).append("</small>");
        }
        out.append("</span></td>");
    }

    private void answers() {
        heading(ReportWord.ANSWERS);
        for (Comparison comparison : report.comparisons()) {
            List<Integer> shown = ReportText.shown(comparison);
            out.append("<h3>")
                    .append(Html.escaped(comparison.name()))
                    .append("</h3>\n<p class=\"note\">")
                    .append(Html.escaped(text.word(
                            ReportWord.ANSWERS_NOTE,
                            shown.size(),
                            comparison.base().total())))
                    .append("</p>\n<div class=\"answers\">\n");
            shown.forEach(i -> answer(
                    comparison,
                    comparison.base().items().get(i),
                    comparison.tuned().items().get(i)));
            out.append("</div>\n");
        }
    }

    private void answer(Comparison comparison, EvalResult.Item base, EvalResult.Item tuned) {
        out.append("<div class=\"answer\"><p>")
                .append(Html.escaped(base.prompt()))
                .append("</p>");
        if (!base.references().isEmpty()) {
            out.append("<p class=\"note\">")
                    .append(text.word(ReportWord.EXPECTED))
                    .append(": ")
                    .append(Html.escaped(String.join(" | ", base.references())))
                    .append("</p>");
        }
        out.append("<div class=\"pair\">");
        side(comparison, ReportWord.BASE, base);
        side(comparison, ReportWord.TUNED, tuned);
        out.append("</div></div>\n");
    }

    private void side(Comparison comparison, ReportWord who, EvalResult.Item item) {
        boolean judged = comparison.base().isAccuracy();
        String kind = judged ? item.isCorrect() ? "right" : "wrong" : "";
        String score = judged
                ? text.word(item.isCorrect() ? ReportWord.RIGHT : ReportWord.WRONG)
                : Figures.value(comparison.base().metric(), item.score());
        boolean silent = comparison.base().metric().kind() == Metric.Kind.PERPLEXITY;
        String answer = silent ? "" : item.answer().isBlank() ? text.word(ReportWord.NO_ANSWER) : item.answer();
        out.append("<div class=\"")
                .append(kind)
                .append("\"><small>")
                .append(text.word(who))
                .append(" · ");
        out.append(score).append("</small>").append(Html.escaped(answer)).append("</div>");
    }

    private void heading(ReportWord word) {
        out.append("<h2>").append(text.word(word)).append("</h2>\n");
    }

    private static String hash(String style) {
        try {
            return Base64.getEncoder()
                    .encodeToString(
                            MessageDigest.getInstance("SHA-256").digest(style.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every Java has it
        }
    }
}
