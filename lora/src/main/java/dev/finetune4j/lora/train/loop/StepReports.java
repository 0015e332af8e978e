package dev.finetune4j.lora.train.loop;

import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Makes the report of each step of a training and keeps all of them; measures the time from its own beginning, without pauses. */
final class StepReports {
    private final List<String> metrics;
    private final int totalSteps;
    private final int stepsPerEpoch;
    private final List<StepReport> all = new ArrayList<>();
    private long start = System.nanoTime();
    private long lastReport = start;

    /** @param before what was done before the training went on here */
    StepReports(List<String> metrics, int totalSteps, int stepsPerEpoch, TrainingReport.History before) {
        this.metrics = metrics;
        this.totalSteps = totalSteps;
        this.stepsPerEpoch = stepsPerEpoch;
        all.addAll(before.steps());
        start -= before.elapsed().toNanos();
    }

    /** The reports so far. */
    List<StepReport> all() {
        return List.copyOf(all);
    }

    /** Time since the training began, in which it did not stand still. */
    Duration elapsed() {
        return Duration.ofNanos(System.nanoTime() - start);
    }

    /** Leaves out a pause of the training. */
    void leaveOut(long nanos) {
        start += nanos;
        lastReport += nanos;
    }

    /** The time since the last report belongs to listeners, evaluations and saving, and not to the throughput of the next step. */
    void goOn() {
        lastReport = System.nanoTime();
    }

    /** Reports a step that is done now. */
    StepReport add(Step step, GradientStep.StepResult result, double learningRate) {
        long now = System.nanoTime();
        int tokens = step.batch().ofAllRanks().stream().mapToInt(Batch::tokens).sum();
        int done = all.size() + 1;
        Duration elapsed = Duration.ofNanos(now - start);
        StepReport report = new StepReport(
                step.index() + 1,
                totalSteps,
                (step.index() + 1.0) / stepsPerEpoch,
                result.loss(),
                result.norm(),
                learningRate,
                means(metrics, result.sums()),
                new StepReport.Throughput(
                        step.batch().ofAllRanks().stream()
                                .mapToInt(Batch::targetTokens)
                                .sum(),
                        tokens,
                        tokens / ((now - Math.max(step.start(), lastReport)) / 1e9)),
                new StepReport.Timing(
                        elapsed,
                        elapsed.multipliedBy(totalSteps - step.index() - 1L).dividedBy(done)));
        all.add(report);
        lastReport = now;
        return report;
    }

    /** Behind the loss stand for each metric the sum and the number of what it is the mean of; without any it has no mean. */
    static Map<String, Double> means(List<String> metrics, double... sums) {
        Map<String, Double> means = new LinkedHashMap<>();
        for (int i = 0; i < metrics.size(); i++) {
            double count = sums[2 + 2 * i];
            if (!(count <= 0)) {
                means.put(metrics.get(i), sums[1 + 2 * i] / count);
            }
        }
        return means;
    }
}
