package dev.finetune4j.lora.eval.metric;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * BLEU over n-grams of up to four tokens (<a href="https://aclanthology.org/P02-1040/">Papineni et al. 2002</a>).
 *
 * <p>The counts of an answer add up over answers: {@code [0..3]} matches of each order, {@code [4..7]} n-grams of each order,
 * {@code [8]} tokens of the answer, {@code [9]} tokens of the reference whose length is nearest. Stateless.
 */
public final class Bleu {
    /** The longest n-gram. */
    public static final int ORDER = 4;

    private static final int TOTALS = ORDER;
    private static final int LENGTH = 2 * ORDER;
    private static final int REFERENCE_LENGTH = 2 * ORDER + 1;

    private Bleu() {}

    /**
     * The counts of one answer.
     *
     * @param references at least one
     */
    public static double[] counts(List<String> answer, List<List<String>> references) {
        double[] counts = new double[REFERENCE_LENGTH + 1];
        for (int n = 1; n <= ORDER; n++) {
            int order = n;
            List<Map<List<String>, Integer>> others =
                    references.stream().map(tokens -> NGrams.of(tokens, order)).toList();
            for (Map.Entry<List<String>, Integer> entry : NGrams.of(answer, n).entrySet()) {
                int most = others.stream()
                        .mapToInt(other -> other.getOrDefault(entry.getKey(), 0))
                        .max()
                        .orElse(0);
                counts[n - 1] += Math.min(entry.getValue(), most);
                counts[TOTALS + n - 1] += entry.getValue();
            }
        }
        counts[LENGTH] = answer.size();
        counts[REFERENCE_LENGTH] = nearest(answer.size(), references);
        return counts;
    }

    /** The length of the reference that is nearest to the answer's, the shorter of two. */
    private static int nearest(int length, List<List<String>> references) {
        int nearest = references.get(0).size();
        for (List<String> reference : references) {
            int distance = Math.abs(reference.size() - length) - Math.abs(nearest - length);
            if (distance < 0 || (distance == 0 && reference.size() < nearest)) {
                nearest = reference.size();
            }
        }
        return nearest;
    }

    /**
     * The score of a corpus as sacrebleu reports it, 0 to 100: orders without a match count 1/2, 1/4, … of a match
     * (the NIST script's "exp" smoothing).
     */
    public static double corpus(double... counts) {
        return score(counts, ORDER);
    }

    /** The score of one answer as sacrebleu reports it, 0 to 100: orders that it is too short for do not count. */
    public static double sentence(double... counts) {
        int order = 0;
        while (order < ORDER && counts[TOTALS + order] > 0) {
            order++;
        }
        return score(counts, order);
    }

    private static double score(double[] counts, int order) {
        if (Arrays.stream(counts, 0, ORDER).allMatch(matches -> matches == 0)) {
            return 0;
        }
        List<Double> precisions = new ArrayList<>();
        double smoothed = 1;
        for (int n = 0; n < order; n++) {
            double total = counts[TOTALS + n];
            if (total == 0) {
                return 0;
            }
            if (counts[n] == 0) {
                smoothed *= 2;
                precisions.add(1 / (smoothed * total));
            } else {
                precisions.add(counts[n] / total);
            }
        }
        return 100 * brevityPenalty(counts) * geometricMean(precisions);
    }

    /**
     * The score of one answer as nltk's {@code sentence_bleu} with {@code SmoothingFunction().method3} reports it, 0 to 1: orders without a
     * match count 1/2, 1/4, … of a match, and orders that the answer is too short for as one n-gram without a match.
     */
    public static double method3(double... counts) {
        if (counts[0] == 0) {
            return 0;
        }
        List<Double> precisions = new ArrayList<>();
        double smoothed = 1;
        for (int n = 0; n < ORDER; n++) {
            double total = Math.max(1, counts[TOTALS + n]);
            if (counts[n] == 0) {
                smoothed *= 2;
                precisions.add(1 / (smoothed * total));
            } else {
                precisions.add(counts[n] / total);
            }
        }
        return brevityPenalty(counts) * geometricMean(precisions);
    }

    private static double brevityPenalty(double... counts) {
        double length = counts[LENGTH];
        double reference = counts[REFERENCE_LENGTH];
        if (length >= reference) {
            return 1;
        }
        return length > 0 ? Math.exp(1 - reference / length) : 0;
    }

    private static double geometricMean(List<Double> precisions) {
        return Math.exp(precisions.stream().mapToDouble(Math::log).average().orElse(Double.NEGATIVE_INFINITY));
    }
}
