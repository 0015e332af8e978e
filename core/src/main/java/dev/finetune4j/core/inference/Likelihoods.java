package dev.finetune4j.core.inference;

import java.util.Arrays;

/**
 * How likely a model held a token, and which were the likeliest at its place.
 *
 * @param logprob natural logarithm of its probability
 * @param topIds the likeliest tokens, the likeliest first, of equals that with the lower id
 * @param topLogprobs theirs
 */
record Likelihoods(double logprob, int[] topIds, double[] topLogprobs) {
    /**
     * Those of a token by logits.
     *
     * @param logits one for each token of the vocabulary, (V); none is NaN
     * @param top how many of the likeliest
     */
    static Likelihoods of(float[] logits, int id, int top) {
        double normalizer = logSumExp(logits);
        int[] ids = likeliest(logits, Math.min(top, logits.length));
        return new Likelihoods(
                logits[id] - normalizer,
                ids,
                Arrays.stream(ids)
                        .mapToDouble(other -> logits[other] - normalizer)
                        .toArray());
    }

    private static double logSumExp(float[] logits) {
        double highest = Double.NEGATIVE_INFINITY;
        for (float logit : logits) {
            highest = Math.max(highest, logit);
        }
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp(logit - highest);
        }
        return highest + Math.log(sum);
    }

    private static int[] likeliest(float[] logits, int count) {
        int[] ids = new int[count];
        int filled = 0;
        for (int id = 0; id < logits.length && count > 0; id++) {
            if (filled < count || logits[id] > logits[ids[count - 1]]) {
                int place = filled < count ? filled++ : count - 1;
                while (place > 0 && logits[ids[place - 1]] < logits[id]) {
                    ids[place] = ids[place - 1];
                    place--;
                }
                ids[place] = id;
            }
        }
        return ids;
    }
}
