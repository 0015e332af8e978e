package dev.finetune4j.lora.report;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Locale;

/**
 * Shows a training as one line that is rewritten in place: step, loss, learning rate, tokens per second, time left.
 *
 * <p>When the stream is not a terminal, give {@code inPlace = false}: then every tenth of the steps gets a line of its own. Called on
 * the training thread; give each training its own.
 */
public final class ProgressLine implements TrainingListener {
    private static final int BAR = 24;

    private final PrintStream out;
    private final boolean inPlace;

    /**
     * Shows on the given stream.
     *
     * @param inPlace whether to rewrite one line, as a terminal can
     */
    public ProgressLine(PrintStream out, boolean inPlace) {
        this.out = out;
        this.inPlace = inPlace;
    }

    @Override
    public void onStart(int totalSteps, long trainableParameters) {
        out.printf(Locale.ROOT, "training %,d parameters in %d steps%n", trainableParameters, totalSteps);
    }

    @Override
    public void onStep(StepReport report, Control control) {
        boolean last = report.step() == report.totalSteps();
        if (inPlace) {
            out.print("\r" + line(report) + (last ? System.lineSeparator() : ""));
            out.flush();
        } else if (last || report.step() == 1 || report.step() % Math.max(1, report.totalSteps() / 10) == 0) {
            out.println(line(report));
        }
    }

    @Override
    public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
        boolean within = inPlace && evaluation.step() < evaluation.totalSteps();
        out.printf(
                Locale.ROOT,
                "%sstep %d/%d  evaluation loss %.4f  perplexity %.2f%n",
                within ? System.lineSeparator() : "",
                evaluation.step(),
                evaluation.totalSteps(),
                evaluation.loss(),
                evaluation.perplexity());
    }

    @Override
    public void onEnd(TrainingReport report) {
        if (report.outcome() == TrainingReport.Outcome.STOPPED) {
            out.println((inPlace ? System.lineSeparator() : "") + "cancelled after "
                    + report.steps().size() + " steps");
        }
    }

    static String line(StepReport report) {
        int done = BAR * report.step() / report.totalSteps();
        return String.format(
                Locale.ROOT,
                "%s%s step %d/%d  loss %.4f  lr %.1e  %,.0f tokens/s  ETA %s ",
                "█".repeat(done),
                "░".repeat(BAR - done),
                report.step(),
                report.totalSteps(),
                report.loss(),
                report.learningRate(),
                report.throughput().tokensPerSecond(),
                clock(report.timing().remaining()));
    }

    private static String clock(Duration time) {
        return String.format(Locale.ROOT, "%d:%02d", time.toMinutes(), time.toSecondsPart());
    }
}
