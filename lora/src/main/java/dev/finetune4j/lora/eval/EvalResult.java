package dev.finetune4j.lora.eval;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.lora.eval.statistics.Bootstrap;
import dev.finetune4j.lora.eval.statistics.Proportion;
import java.util.Arrays;
import java.util.List;

/**
 * What one model came to in an {@link EvalTask}. Immutable.
 *
 * @param name of the task
 * @param metric what its figures say
 * @param items in the order of the task, at least one
 */
public record EvalResult(String name, Metric metric, List<Item> items) {
    /**
     * One item of a task.
     *
     * @param prompt the question, or the beginning of the text
     * @param references what was expected, as far as the task says
     * @param answer what the model said; for a choice the chosen one, for a text nothing
     * @param score 1 or 0 for right or wrong; 0 to 100; or the perplexity of the item
     * @param counts what the item adds to the sums of which the figure is a function
     */
    public record Item(String prompt, List<String> references, String answer, double score, List<Double> counts) {
        public Item {
            references = List.copyOf(references);
            counts = List.copyOf(counts);
        }

        static Item of(Metric metric, String prompt, List<String> references, String answer, double... counts) {
            return new Item(
                    prompt,
                    references,
                    answer,
                    metric.ofOne(counts),
                    Arrays.stream(counts).boxed().toList());
        }

        /** Whether it is right; only of a metric of accuracy. */
        public boolean isCorrect() {
            return score == 1;
        }

        double[] sums() {
            return counts.stream().mapToDouble(Double::doubleValue).toArray();
        }
    }

    /** @throws IllegalArgumentException without an item */
    public EvalResult {
        Arguments.given(name, "EvalResult(name)");
        Arguments.given(metric, "EvalResult(metric)");
        items = List.copyOf(items);
        if (items.isEmpty()) {
            throw new IllegalArgumentException("\"" + name + "\" has no item; a figure needs at least one");
        }
    }

    /** The figure: 0 to 1 for an accuracy, 0 to 100 for scores and BLEU, or a perplexity. */
    public double value() {
        double[] sums = new double[items.get(0).counts().size()];
        for (Item item : items) {
            for (int k = 0; k < sums.length; k++) {
                sums[k] += item.counts().get(k);
            }
        }
        return metric.figure(sums);
    }

    /** How sure the figure is; {@link #interval(long)} of 1. */
    public Interval interval() {
        return interval(1);
    }

    /**
     * How sure the figure is, for items that are a sample of all there could be.
     *
     * @param seed of the bootstrap; does not count for an accuracy
     */
    public Interval interval(long seed) {
        if (isAccuracy()) {
            double[] ends = Proportion.wilson(correct(), total());
            return new Interval(ends[0], ends[1], Interval.Method.WILSON);
        }
        double[] ends = new Bootstrap(metric::figure, seed).interval(sums());
        return new Interval(ends[0], ends[1], Interval.Method.BOOTSTRAP);
    }

    /** How many items are right; only of a metric of accuracy. */
    public int correct() {
        return (int) items.stream().filter(Item::isCorrect).count();
    }

    /** How many items there are. */
    public int total() {
        return items.size();
    }

    boolean isAccuracy() {
        return metric.kind() == Metric.Kind.ACCURACY;
    }

    List<double[]> sums() {
        return items.stream().map(Item::sums).toList();
    }

    /**
     * An interval that holds the true figure with a confidence of 95 %.
     *
     * @param low its lower end
     * @param high its upper end
     * @param method how it was found
     */
    public record Interval(double low, double high, Method method) {
        /** How an interval is found. */
        public enum Method {
            /** Wilson's score interval, of a share. */
            WILSON,
            /** Newcombe's interval, of a difference of shares. */
            NEWCOMBE,
            /** Percentiles of 1,000 resamples. */
            BOOTSTRAP
        }
    }
}
