package dev.finetune4j.examples.task;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Tells another listener of every so many steps at once, with the means over them: what transformers' {@code logging_steps} asks for. The
 * last step is always told. Of one training, on its thread.
 */
final class StepLog implements TrainingListener {
    private final TrainingListener log;
    private final int every;
    private final boolean first;
    private final List<StepReport> window = new ArrayList<>();
    private double epoch;

    /**
     * @param every steps of a line; 0 for each epoch
     * @param first whether the first step has a line of its own
     */
    StepLog(TrainingListener log, int every, boolean first) {
        this.log = log;
        this.every = every;
        this.first = first;
    }

    @Override
    public void onStart(int totalSteps, long trainableParameters) {
        log.onStart(totalSteps, trainableParameters);
    }

    @Override
    public void onResume(TrainingReport.History before) {
        List<StepReport> told = new ArrayList<>();
        for (StepReport step : before.steps()) {
            window.add(step);
            if (isDue(step)) {
                told.add(mean());
            }
        }
        log.onResume(new TrainingReport.History(
                before.step(), told, before.skipped(), before.evaluations(), before.elapsed()));
    }

    @Override
    public void onStep(StepReport report, Control control) {
        window.add(report);
        if (isDue(report)) {
            log.onStep(mean(), control);
        }
    }

    @Override
    public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
        log.onEvaluation(evaluation, control);
    }

    @Override
    public void onEnd(TrainingReport report) {
        log.onEnd(report);
    }

    private boolean isDue(StepReport report) {
        boolean counted = every > 0 ? report.step() % every == 0 : Math.floor(report.epoch() + 1e-9) > epoch;
        epoch = Math.floor(report.epoch() + 1e-9);
        return counted || report.step() == report.totalSteps() || (first && report.step() == 1);
    }

    /** The steps since the last line as one, which begins a new line. */
    private StepReport mean() {
        StepReport last = window.get(window.size() - 1);
        Map<String, Double> metrics = new TreeMap<>();
        for (String name : last.metrics().keySet()) {
            metrics.put(
                    name,
                    window.stream()
                            .filter(step -> step.metrics().containsKey(name))
                            .mapToDouble(step -> step.metrics().get(name))
                            .average()
                            .orElse(Double.NaN));
        }
        int targets = 0;
        int tokens = 0;
        double seconds = 0;
        for (StepReport step : window) {
            targets += step.throughput().targetTokens();
            tokens += step.throughput().tokens();
            seconds += step.throughput().tokens() / step.throughput().tokensPerSecond();
        }
        StepReport mean = new StepReport(
                last.step(),
                last.totalSteps(),
                last.epoch(),
                window.stream().mapToDouble(StepReport::loss).average().orElse(Double.NaN),
                last.gradNorm(),
                last.learningRate(),
                metrics,
                new StepReport.Throughput(targets, tokens, tokens / seconds),
                last.timing());
        window.clear();
        return mean;
    }
}
