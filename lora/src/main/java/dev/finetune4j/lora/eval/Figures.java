package dev.finetune4j.lora.eval;

import dev.finetune4j.lora.eval.EvalReport.Check;
import dev.finetune4j.lora.eval.EvalResult.Interval;
import java.util.Locale;

/** Figures as people read them. Stateless. */
final class Figures {
    private static final double PERCENT = 100;
    private static final double LEAST_P = 0.001;

    private Figures() {}

    static String percent(double share) {
        return String.format(Locale.ROOT, "%.0f %%", PERCENT * share);
    }

    /** A difference of shares, with its sign. */
    static String points(double difference, ReportLanguage language) {
        return signed(difference, String.format(Locale.ROOT, "%.0f ", PERCENT * Math.abs(difference)))
                + ReportWord.POINTS.in(language);
    }

    static String value(Metric metric, double value) {
        return switch (metric.kind()) {
            case ACCURACY -> percent(value);
            case SCORE, BLEU -> String.format(Locale.ROOT, "%.1f", value);
            case PERPLEXITY -> number(value);
        };
    }

    static String interval(Metric metric, Interval interval) {
        String high = value(metric, interval.high());
        String low = value(metric, interval.low());
        return (metric.kind() == Metric.Kind.ACCURACY ? low.replace(" %", "") : low) + "–" + high;
    }

    /** A range of differences of shares. */
    static String points(Interval interval, ReportLanguage language) {
        return signed(interval.low(), String.format(Locale.ROOT, "%.0f", PERCENT * Math.abs(interval.low()))) + " … "
                + points(interval.high(), language);
    }

    /** A range of shares. */
    static String percent(Interval interval) {
        return String.format(Locale.ROOT, "%.0f–%.0f %%", PERCENT * interval.low(), PERCENT * interval.high());
    }

    static String difference(Metric metric, double difference, ReportLanguage language) {
        return metric.kind() == Metric.Kind.ACCURACY
                ? points(difference, language)
                : signed(difference, value(metric, Math.abs(difference)));
    }

    /** What is rounded to nothing has no sign. */
    private static String signed(double difference, String size) {
        boolean none = size.chars().noneMatch(c -> c >= '1' && c <= '9');
        return none ? size : (difference < 0 ? "−" : "+") + size;
    }

    static String pValue(double p) {
        return p < LEAST_P ? "< 0.001" : String.format(Locale.ROOT, "%.3f", p);
    }

    /** A number with three digits or more. */
    static String number(double value) {
        double hundred = 100;
        return String.format(Locale.ROOT, Math.abs(value) >= hundred ? "%.0f" : "%.3g", value);
    }

    /** A threshold's limit, or what was found. */
    static String ofCheck(Check check, double value, EvalReport report, ReportLanguage language) {
        return switch (check.figure()) {
            case SUCCESS, RETENTION -> percent(value);
            case OVERFITTING -> points(value, language);
            case VALUE -> value(report.of(check.task()).base().metric(), value);
            case P_VALUE -> pValue(value);
        };
    }

    /** What a threshold is of. */
    static String nameOf(Check check, ReportLanguage language) {
        return switch (check.figure()) {
            case SUCCESS -> ReportWord.SUCCESS.in(language);
            case RETENTION -> ReportWord.RETENTION.in(language);
            case OVERFITTING -> ReportWord.OVERFITTING.in(language);
            case VALUE -> check.task();
            case P_VALUE -> check.task() + ": " + ReportWord.BETTER_THAN_BASE.in(language);
        };
    }

    static String boundOf(Check check, ReportLanguage language) {
        return (check.bound() == Check.Bound.AT_LEAST ? ReportWord.AT_LEAST : ReportWord.AT_MOST).in(language);
    }
}
