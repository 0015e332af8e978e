package dev.finetune4j.benchmarks;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * When the steps of a training end, of which those of a warm-up are not timed. A report waits for the end of its step, not for the next one,
 * which was asked for before.
 */
final class TimedSteps implements TrainingListener {
    private final int warmup;
    private final List<Long> ends = new ArrayList<>();
    private final List<Integer> tokens = new ArrayList<>();
    private final List<Double> losses = new ArrayList<>();

    /** @param warmup how many steps are not timed, at least one */
    TimedSteps(int warmup) {
        this.warmup = warmup;
    }

    @Override
    public void onStep(StepReport report, Control control) {
        ends.add(System.nanoTime());
        tokens.add(report.throughput().tokens());
        losses.add(report.loss());
    }

    /** The losses of all steps, those of the warm-up too; empty on a rank that hears nothing. */
    List<Double> losses() {
        return List.copyOf(losses);
    }

    double firstLoss() {
        return losses.get(0);
    }

    double lastLoss() {
        return losses.get(losses.size() - 1);
    }

    /** The tokens of the timed steps. */
    long tokens() {
        return tokens.subList(warmup, tokens.size()).stream()
                .mapToLong(Integer::longValue)
                .sum();
    }

    /** The tokens over the time of the timed steps. */
    double tokensPerSecond() {
        return tokens() / ((ends.get(ends.size() - 1) - ends.get(warmup - 1)) / 1e9);
    }

    /** The median of the timed steps. */
    double medianMillis() {
        double[] millis = new double[ends.size() - warmup];
        for (int i = 0; i < millis.length; i++) {
            millis[i] = (ends.get(warmup + i) - ends.get(warmup + i - 1)) / 1e6;
        }
        Arrays.sort(millis);
        return (millis[(millis.length - 1) / 2] + millis[millis.length / 2]) / 2;
    }
}
