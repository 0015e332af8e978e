package dev.finetune4j.core.inference;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.GenerationSettings;
import java.util.Arrays;
import java.util.BitSet;
import java.util.SplittableRandom;
import java.util.function.Consumer;

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
     * @param history ids of the text so far, for the rules about repetition
     * @param historyLength how many of them count
     * @return id of the chosen token
     * @throws FineTune4jException when no logit is a number, or the rules forbid every token
     */
    public int next(float[] logits, int[] history, int historyLength) {
        return next(logits, history, historyLength, unchanged -> {});
    }

    /** As {@link #next(float[], int[], int)}, with one more rule before those that shape the distribution. */
    int next(float[] logits, int[] history, int historyLength, Consumer<float[]> further) {
        argmax(logits);
        processLogits(logits, history, historyLength);
        further.accept(logits);
        int best = highest(logits);
        if (logits[best] == Float.NEGATIVE_INFINITY) {
            throw new FineTune4jException(
                    "the rules of the generation forbid all " + logits.length
                            + " tokens of the vocabulary; set noRepeatNgramSize or minNewTokens to 0, forbid fewer by logitBias, or leave the response format out");
        }
        if (settings.temperature() == 0) {
            return best;
        }
        warp(logits);
        // A temperature near zero overflows: the limit is the likeliest token.
        return Float.isFinite(logits[best]) ? draw(logits) : best;
    }

    /** Whether the next token is the {@link #argmax} of the logits as they are, without any rule. */
    boolean takesArgmax() {
        return settings.temperature() == 0
                && settings.repetitionPenalty() == 1
                && settings.presencePenalty() == 0
                && settings.frequencyPenalty() == 0
                && settings.noRepeatNgramSize() == 0
                && settings.logitBias().isEmpty();
    }

    /**
     * The first of the highest logits.
     *
     * @param logits one number per token of the vocabulary, (V); what is not a number becomes negative infinity
     * @throws FineTune4jException when the highest is not a finite number
     */
    static int argmax(float[] logits) {
        maskNaN(logits);
        int best = highest(logits);
        if (!Float.isFinite(logits[best])) {
            throw new FineTune4jException(
                    "the model's output is not a number; compute in FP32, or check the checkpoint");
        }
        return best;
    }

    /** The rules that look at the text so far; they hold whether or not the token is drawn. */
    public void processLogits(float[] logits, int[] history, int historyLength) {
        settings.logitBias().forEach((id, bias) -> logits[id] = (float) (logits[id] + bias));
        if (settings.repetitionPenalty() != 1) {
            penalizeRepetition(logits, history, historyLength, settings.repetitionPenalty());
        }
        if (settings.presencePenalty() != 0 || settings.frequencyPenalty() != 0) {
            penalizeCounts(logits, history, historyLength, settings.presencePenalty(), settings.frequencyPenalty());
        }
        if (settings.noRepeatNgramSize() > 0) {
            forbidRepeatedNgrams(logits, history, historyLength, settings.noRepeatNgramSize());
        }
    }

    /** The rules that shape the distribution from which the token is drawn. */
    public void warp(float[] logits) {
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
    }

    static void penalizeRepetition(float[] logits, int[] history, int historyLength, double penalty) {
        float factor = (float) penalty;
        BitSet seen = new BitSet(logits.length);
        for (int i = 0; i < historyLength; i++) {
            int id = history[i];
            if (id < logits.length && !seen.get(id)) {
                seen.set(id);
                logits[id] = logits[id] < 0 ? logits[id] * factor : logits[id] / factor;
            }
        }
    }

    static void penalizeCounts(
            float[] logits, int[] history, int historyLength, double presencePenalty, double frequencyPenalty) {
        int[] counts = new int[logits.length];
        for (int i = 0; i < historyLength; i++) {
            if (history[i] < logits.length) {
                counts[history[i]]++;
            }
        }
        for (int id = 0; id < logits.length; id++) {
            if (counts[id] > 0) {
                logits[id] = (float) (logits[id] - presencePenalty - frequencyPenalty * counts[id]);
            }
        }
    }

    static void forbidRepeatedNgrams(float[] logits, int[] history, int historyLength, int size) {
        int prefix = historyLength - (size - 1);
        for (int end = size - 1; end < historyLength; end++) {
            int start = end - (size - 1);
            if (history[end] < logits.length && Arrays.equals(history, start, end, history, prefix, historyLength)) {
                logits[history[end]] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    static void divide(float[] logits, double temperature) {
        float divisor = (float) temperature;
        for (int i = 0; i < logits.length; i++) {
            logits[i] /= divisor;
        }
    }

    static void keepTopK(float[] logits, int k) {
        if (k >= logits.length) {
            return;
        }
        forbidBelow(logits, highest(logits, k));
    }

    /** The k-th highest of more than k logits. */
    private static float highest(float[] logits, int k) {
        float[] heap = Arrays.copyOf(logits, k); // the k highest so far, the least of them first
        Arrays.sort(heap);
        for (int i = k; i < logits.length; i++) {
            if (logits[i] > heap[0]) {
                replaceLeast(heap, logits[i]);
            }
        }
        return heap[0];
    }

    private static void replaceLeast(float[] heap, float value) {
        int place = 0;
        for (int child = 1; child < heap.length; child = 2 * place + 1) {
            if (child + 1 < heap.length && heap[child + 1] < heap[child]) {
                child++;
            }
            if (heap[child] >= value) {
                break;
            }
            heap[place] = heap[child];
            place = child;
        }
        heap[place] = value;
    }

    static void keepTopP(float[] logits, double p) {
        double[] probabilities = softmax(logits);
        // All tokens below this together do not reach 1 - p; only the others have to be sorted.
        double least = (1 - p) / logits.length;
        double cumulative = 0;
        int count = 0;
        for (int id = 0; id < logits.length; id++) {
            if (probabilities[id] < least) {
                cumulative += probabilities[id];
                logits[id] = Float.NEGATIVE_INFINITY;
            } else {
                count++;
            }
        }
        long[] order = ascending(logits, probabilities, least, count);
        for (int i = 0; i < order.length - 1; i++) { // the likeliest token always stays
            int id = (int) order[i];
            cumulative += probabilities[id];
            if (cumulative > 1 - p) {
                return;
            }
            logits[id] = Float.NEGATIVE_INFINITY;
        }
    }

    /**
     * The tokens of at least some probability from the least to the most likely, equal ones by id; the id is in the lower half of
     * each number.
     */
    private static long[] ascending(float[] logits, double[] probabilities, double least, int count) {
        long[] order = new long[count];
        int next = 0;
        for (int i = 0; i < logits.length; i++) {
            if (probabilities[i] >= least) {
                int bits = Float.floatToIntBits(logits[i] + 0f); // + 0 makes one zero of both
                int sortable = bits ^ (bits >> 31 & Integer.MAX_VALUE);
                order[next++] = (long) sortable << 32 | i;
            }
        }
        Arrays.sort(order);
        return order;
    }

    static void keepMinP(float[] logits, double share) {
        // p >= share * max(p) in logits: the normaliser cancels.
        float highest = logits[highest(logits)];
        forbidBelow(logits, (float) (highest + Math.log(share)));
    }

    private static void forbidBelow(float[] logits, float threshold) {
        for (int i = 0; i < logits.length; i++) {
            if (logits[i] < threshold) {
                logits[i] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    private static void maskNaN(float[] logits) {
        for (int i = 0; i < logits.length; i++) {
            if (Float.isNaN(logits[i])) {
                logits[i] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    private static int highest(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    private static double[] softmax(float[] logits) {
        double highest = logits[highest(logits)];
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
