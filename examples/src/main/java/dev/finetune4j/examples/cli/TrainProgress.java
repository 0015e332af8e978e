package dev.finetune4j.examples.cli;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.Locale;

/** Shows a training: as a line that is rewritten in place, as lines, or as a JSON object in each line. Of one training. */
final class TrainProgress implements TrainingListener {
    /** How it is shown. */
    enum Form {
        BAR,
        LINES,
        JSON
    }

    private static final int WIDTH = 24;
    private static final int LINES = 20;

    private final PrintWriter out;
    private final Form form;
    private boolean open;

    TrainProgress(PrintWriter out, Form form) {
        this.out = out;
        this.form = form;
    }

    /** Shows a line between two steps. */
    synchronized void say(String line) {
        if (form == Form.JSON) {
            out.println(new Json().put("note", line));
        } else {
            out.println(end() + line);
        }
        out.flush();
    }

    private String end() {
        String end = open ? System.lineSeparator() : "";
        open = false;
        return end;
    }

    @Override
    public void onPhase(Phase phase) {
        switch (phase) {
            case LOADING_MODEL -> say("loading the model");
            case CHECKING -> say("checking the result");
            default -> {}
        }
    }

    @Override
    public void onStart(int totalSteps, long trainableParameters) {
        say(String.format(Locale.ROOT, "training %,d parameters in %,d steps", trainableParameters, totalSteps));
    }

    @Override
    public void onResume(TrainingReport.History before) {
        say("step " + before.step() + " is done");
    }

    @Override
    public synchronized void onStep(StepReport report, Control control) {
        boolean last = report.step() == report.totalSteps();
        switch (form) {
            case BAR -> {
                out.print("\r\u001b[K" + line(report));
                open = true;
                if (last) {
                    out.print(end());
                }
            }
            case LINES -> {
                int every = Math.max(1, report.totalSteps() / LINES);
                if (last || report.step() == 1 || report.step() % every == 0) {
                    out.println(line(report));
                }
            }
            case JSON -> out.println(json(report));
        }
        out.flush();
    }

    @Override
    public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
        if (form == Form.JSON) {
            out.println(new Json()
                    .put("step", evaluation.step())
                    .put("epoch", evaluation.epoch())
                    .put("eval_loss", finite(evaluation.loss())));
            out.flush();
            return;
        }
        say(String.format(
                Locale.ROOT,
                "step %d/%d  eval_loss %.4f  perplexity %.2f",
                evaluation.step(),
                evaluation.totalSteps(),
                evaluation.loss(),
                evaluation.perplexity()));
    }

    @Override
    public void onCheckpoint(TrainingReport.Checkpoint checkpoint) {
        checkpoint
                .problem()
                .ifPresent(problem -> say("warning: " + checkpoint.folder() + " could not be written: " + problem));
    }

    private static @org.jspecify.annotations.Nullable Double finite(double value) {
        return Double.isFinite(value) ? value : null;
    }

    private static Json json(StepReport report) {
        return new Json()
                .put("step", report.step())
                .put("total_steps", report.totalSteps())
                .put("epoch", report.epoch())
                .put("loss", finite(report.loss()))
                .put("lr", report.learningRate())
                .put("grad_norm", finite(report.gradNorm()))
                .put("tokens_per_second", finite(report.throughput().tokensPerSecond()))
                .put("remaining_seconds", report.timing().remaining().toSeconds());
    }

    static String line(StepReport report) {
        int done = (int) ((long) WIDTH * report.step() / report.totalSteps());
        Duration remaining = report.timing().remaining();
        return String.format(
                Locale.ROOT,
                "%s%s %d/%d  epoch %.2f  loss %.4f  lr %.2e  grad_norm %.2f  %,.0f tokens/s  %d:%02d:%02d left",
                "█".repeat(done),
                "░".repeat(WIDTH - done),
                report.step(),
                report.totalSteps(),
                report.epoch(),
                report.loss(),
                report.learningRate(),
                report.gradNorm(),
                report.throughput().tokensPerSecond(),
                remaining.toHours(),
                remaining.toMinutesPart(),
                remaining.toSecondsPart());
    }
}
