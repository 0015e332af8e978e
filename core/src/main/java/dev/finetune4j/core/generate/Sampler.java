package dev.finetune4j.core.generate;

import dev.finetune4j.core.FineTune4jException;
import java.util.Arrays;
import java.util.BitSet;
import java.util.SplittableRandom;

/**
 * Chooses the next token from its logits by the rules of {@link GenerationSettings}. Each rule sets what it forbids to
 * negative infinity, as transformers' logits processors do.
 *
 * <p>Holds the state of the random draws and is confined to one generation.
 */
public final class Sampler {
    private final GenerationSettings settings;
    private final SplittableRandom random;

    /** Starts the random draws at the settings' seed. */
    public Sampler(GenerationSettings settings) {
        this.settings = settings;
        this.random = new SplittableRandom(settings.seed());
    }

    /**
     * Chooses one token.
     *
     * @param logits one number per token of the vocabulary, (V); changed by the call
     * @param history ids of the text so far, for the repetition penalty
     * @param historyLength how many of them count
     * @return id of the chosen token
     * @throws FineTune4jException when no logit is a number
     */
    public int next(float[] logits, int[] history, int historyLength) {
        if (settings.repetitionPenalty() != 1) {
            penalizeRepetition(logits, history, historyLength, settings.repetitionPenalty());
        }
        int best = likeliest(logits);
        if (!Float.isFinite(logits[best])) {
            throw new FineTune4jException(
                    "the model's output is not a number; compute in FP32, or check the checkpoint");
        }
        if (settings.temperature() == 0) {
            return best;
        }
        divide(logits, settings.temperature());
        if (settings.topK() > 0) {
            keepTopK(logits, settings.topK());
        }
        if (settings.topP() < 1) {
            keepTopP(logits, settings.topP());
        }
        if (settings.minP() > 0) {
            keepMinP(logits, settings.minP());
        }
        return draw(logits);
    }

    static void penalizeRepetition(float[] logits, int[] history, int historyLength, double penalty) {
        BitSet seen = new BitSet(logits.length);
        for (int i = 0; i < historyLength; i++) {
            int id = history[i];
            if (!seen.get(id)) {
                seen.set(id);
                logits[id] = (float) (logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty);
            }
        }
    }

    static void divide(float[] logits, double temperature) {
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) (logits[i] / temperature);
        }
    }

    static void keepTopK(float[] logits, int k) {
        if (k >= logits.length) {
            return;
        }
        float[] sorted = logits.clone();
        Arrays.sort(sorted);
        float threshold = sorted[sorted.length - k];
        forbidBelow(logits, threshold);
    }

    static void keepTopP(float[] logits, double p) {
        double[] probabilities = softmax(logits);
        Integer[] order = new Integer[logits.length];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, (a, b) -> Double.compare(probabilities[a], probabilities[b]));
        double cumulative = 0;
        for (int i = 0; i < order.length - 1; i++) { // the likeliest token always stays
            cumulative += probabilities[order[i]];
            if (cumulative > 1 - p) {
                return;
            }
            logits[order[i]] = Float.NEGATIVE_INFINITY;
        }
    }

    static void keepMinP(float[] logits, double share) {
        // p >= share * max(p) in logits: the normaliser cancels.
        float highest = logits[likeliest(logits)];
        forbidBelow(logits, (float) (highest + Math.log(share)));
    }

    private static void forbidBelow(float[] logits, float threshold) {
        for (int i = 0; i < logits.length; i++) {
            if (logits[i] < threshold) {
                logits[i] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    /** The first of the highest logits; one that is not a number loses to every one that is. */
    private static int likeliest(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best] || Float.isNaN(logits[best])) {
                best = i;
            }
        }
        return best;
    }

    private static double[] softmax(float[] logits) {
        double highest = logits[likeliest(logits)];
        double[] probabilities = new double[logits.length];
        double sum = 0;
        for (int i = 0; i < logits.length; i++) {
            probabilities[i] = Math.exp(logits[i] - highest);
            sum += probabilities[i];
        }
        for (int i = 0; i < logits.length; i++) {
            probabilities[i] /= sum;
        }
        return probabilities;
    }

    private int draw(float[] logits) {
        double[] probabilities = softmax(logits);
        double left = random.nextDouble();
        int last = 0;
        for (int i = 0; i < probabilities.length; i++) {
            if (probabilities[i] > 0) {
                last = i;
                left -= probabilities[i];
                if (left < 0) {
                    break;
                }
            }
        }
        return last;
    }
}
