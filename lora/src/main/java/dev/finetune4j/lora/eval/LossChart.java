package dev.finetune4j.lora.eval;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.loop.MovingAverage;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * The curve of a training's loss as SVG inside of HTML: the plot is stretched to the room there is, and labels are text of the page, so that
 * they can be read on a phone.
 */
final class LossChart {
    private static final int WIDTH = 1000;
    private static final int HEIGHT = 400;
    private static final int LINES = 4;
    private static final int MAX_POINTS = 1000;
    private static final double LEAST = 1e-6;
    private static final double[] ROUND = {1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8};

    private final ReportLanguage language;
    private final List<StepReport> steps;
    private final List<TrainingReport.Evaluation> evaluations;
    private final double highest;
    private final int lastStep;

    LossChart(TrainingReport training, ReportLanguage language) {
        this.language = language;
        this.steps = thinned(training.steps().stream()
                .filter(step -> Double.isFinite(step.loss()))
                .toList());
        this.evaluations = training.evaluations().stream()
                .filter(evaluation -> Double.isFinite(evaluation.loss()))
                .toList();
        double most = Math.max(
                steps.stream().mapToDouble(StepReport::loss).max().orElse(1),
                evaluations.stream()
                        .mapToDouble(TrainingReport.Evaluation::loss)
                        .max()
                        .orElse(0));
        this.highest = rounded(most);
        this.lastStep = steps.isEmpty() ? 1 : steps.get(steps.size() - 1).step();
    }

    /** A page needs no more points than it has dots. */
    private static List<StepReport> thinned(List<StepReport> steps) {
        int every = (steps.size() + MAX_POINTS - 1) / MAX_POINTS;
        return every <= 1
                ? steps
                : IntStream.range(0, steps.size())
                        .filter(i -> i % every == 0 || i == steps.size() - 1)
                        .mapToObj(steps::get)
                        .toList();
    }

    /** The least round number that is not below a value. */
    private static double rounded(double value) {
        double ten = 10;
        double power = Math.pow(ten, Math.floor(Math.log10(Math.max(value, LEAST))));
        for (double factor : ROUND) {
            if (factor * power >= value) {
                return factor * power;
            }
        }
        return ten * power;
    }

    boolean isEmpty() {
        return steps.isEmpty();
    }

    String html() {
        StringBuilder out = new StringBuilder();
        out.append("<div class=\"chart\"><div class=\"y\">");
        for (int i = LINES; i >= 0; i--) {
            out.append("<span>").append(label(highest * i / LINES)).append("</span>");
        }
        out.append("</div>\n<svg viewBox=\"0 0 ").append(WIDTH).append(' ').append(HEIGHT);
        out.append("\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"")
                .append(ReportWord.LOSS.in(language))
                .append("\">\n");
        for (int i = 0; i <= LINES; i++) {
            int y = HEIGHT * i / LINES;
            out.append(String.format(Locale.ROOT, "<path class=\"grid\" d=\"M0 %d H%d\"/>", y, WIDTH));
        }
        double[] losses = steps.stream().mapToDouble(StepReport::loss).toArray();
        curve(out, "raw", losses);
        curve(out, "smooth", MovingAverage.of(losses));
        for (TrainingReport.Evaluation evaluation : evaluations) {
            out.append(String.format(
                    Locale.ROOT, "<path class=\"held\" d=\"M%s h0\"/>", point(evaluation.step(), evaluation.loss())));
        }
        out.append("</svg>\n<div class=\"x\"><span>1</span><span>")
                .append(ReportWord.STEP.in(language))
                .append("</span><span>")
                .append(lastStep)
                .append("</span></div></div>\n<p class=\"legend\">");
        legend(out, "raw", ReportWord.LOSS_OF_STEPS);
        legend(out, "smooth", ReportWord.LOSS_SMOOTHED);
        if (!evaluations.isEmpty()) {
            legend(out, "held", ReportWord.LOSS_HELD_OUT);
        }
        return out.append("</p>\n").toString();
    }

    private void legend(StringBuilder out, String kind, ReportWord word) {
        out.append("<span><svg class=\"key\" viewBox=\"0 0 24 10\"><path class=\"")
                .append(kind)
                .append(kind.equals("held") ? "\" d=\"M12 5 h0\"/>" : "\" d=\"M1 5 H23\"/>")
                .append("</svg>")
                .append(word.in(language))
                .append("</span>");
    }

    private void curve(StringBuilder out, String kind, double... losses) {
        out.append("<path class=\"").append(kind).append("\" d=\"");
        for (int i = 0; i < losses.length; i++) {
            out.append(i == 0 ? 'M' : 'L').append(point(steps.get(i).step(), losses[i]));
        }
        out.append("\"/>\n");
    }

    private String point(int step, double loss) {
        double x = lastStep == 1 ? 0 : (double) WIDTH * (step - 1) / (lastStep - 1);
        return String.format(Locale.ROOT, "%.1f %.1f", x, HEIGHT * (1 - loss / highest));
    }

    private static String label(double value) {
        String text = String.format(Locale.ROOT, "%.4f", value);
        return text.replaceAll("\\.?0+$", "");
    }
}
