package dev.finetune4j.lora.eval.statistics;

import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.ToDoubleFunction;

/**
 * The bootstrap (<a href="https://doi.org/10.1214/aos/1176344552">Efron 1979</a>): a figure is computed again of items that are drawn
 * with replacement. Each item has counts, and the figure is a function of their sums, so that it may be a mean, a perplexity or
 * the BLEU of a corpus. Equal seeds draw equal items.
 */
public final class Bootstrap {
    private static final int RESAMPLES = 1000;
    private static final double LOW = 0.025;
    private static final double HIGH = 0.975;

    private final ToDoubleFunction<double[]> figure;
    private final long seed;

    /** @param figure of the sums of counts */
    public Bootstrap(ToDoubleFunction<double[]> figure, long seed) {
        this.figure = figure;
        this.seed = seed;
    }

    /**
     * What a paired bootstrap tells of a difference.
     *
     * @param low end of its interval of 95 %
     * @param high the other end
     * @param pValue how likely a difference so far from 0 is when there is none, from 1/1001 to 1
     */
    public record Difference(double low, double high, double pValue) {}

    /** The percentile interval of 95 %; both ends are the figure itself for one item. */
    public double[] interval(List<double[]> items) {
        double[] figures = new double[RESAMPLES];
        SplittableRandom random = new SplittableRandom(seed);
        for (int r = 0; r < RESAMPLES; r++) {
            figures[r] = figure.applyAsDouble(sums(items, drawn(random, items.size())));
        }
        return new double[] {quantile(figures, LOW), quantile(figures, HIGH)};
    }

    /**
     * How the second figure differs from the first, of the same items. The test is two-sided and moves the resampled differences so that
     * their centre is 0 (<a href="https://aclanthology.org/W04-3250/">Koehn 2004</a>, as in sacrebleu).
     */
    public Difference paired(List<double[]> first, List<double[]> second) {
        double[] differences = new double[RESAMPLES];
        SplittableRandom random = new SplittableRandom(seed);
        for (int r = 0; r < RESAMPLES; r++) {
            int[] drawn = drawn(random, first.size());
            differences[r] = figure.applyAsDouble(sums(second, drawn)) - figure.applyAsDouble(sums(first, drawn));
        }
        int[] all = new int[first.size()];
        Arrays.setAll(all, i -> i);
        double observed = Math.abs(figure.applyAsDouble(sums(second, all)) - figure.applyAsDouble(sums(first, all)));
        double centre = Arrays.stream(differences).average().orElse(0);
        long asFar = Arrays.stream(differences)
                .filter(difference -> Math.abs(difference - centre) >= observed)
                .count();
        return new Difference(quantile(differences, LOW), quantile(differences, HIGH), (asFar + 1.0) / (RESAMPLES + 1));
    }

    private static int[] drawn(SplittableRandom random, int size) {
        int[] drawn = new int[size];
        Arrays.setAll(drawn, i -> random.nextInt(size));
        return drawn;
    }

    private static double[] sums(List<double[]> items, int... chosen) {
        double[] sums = new double[items.get(0).length];
        for (int item : chosen) {
            double[] counts = items.get(item);
            for (int k = 0; k < sums.length; k++) {
                sums[k] += counts[k];
            }
        }
        return sums;
    }

    /** With linear interpolation between the two nearest. */
    private static double quantile(double[] values, double share) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        double place = share * (sorted.length - 1);
        int below = (int) place;
        int above = Math.min(sorted.length - 1, below + 1);
        return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }
}
