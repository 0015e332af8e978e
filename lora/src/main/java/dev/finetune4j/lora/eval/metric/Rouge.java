package dev.finetune4j.lora.eval.metric;

import java.util.List;

/**
 * ROUGE-N and ROUGE-L of one answer and one reference (<a href="https://aclanthology.org/W04-1013/">Lin 2004</a>). Stateless.
 */
public final class Rouge {
    private Rouge() {}

    /**
     * What two texts share.
     *
     * @param matches n-grams, or tokens of the longest common subsequence
     * @param answer n-grams or tokens of the answer
     * @param reference those of the reference
     */
    public record Overlap(int matches, int answer, int reference) {
        /** The harmonic mean of precision and recall, 0 to 1; 0 when one of the texts has nothing to match. */
        public double f1() {
            return answer == 0 || reference == 0 ? 0 : 2.0 * matches / (answer + reference);
        }
    }

    /** ROUGE-N: n-grams that both have, each as often as both have it. */
    public static Overlap ngrams(int n, List<String> answer, List<String> reference) {
        return new Overlap(
                NGrams.shared(NGrams.of(answer, n), NGrams.of(reference, n)),
                Math.max(0, answer.size() - n + 1),
                Math.max(0, reference.size() - n + 1));
    }

    /** ROUGE-L: the longest common subsequence. */
    public static Overlap longestCommonSubsequence(List<String> answer, List<String> reference) {
        int[] above = new int[reference.size() + 1];
        for (String token : answer) {
            int[] row = new int[reference.size() + 1];
            for (int j = 1; j < row.length; j++) {
                row[j] = token.equals(reference.get(j - 1)) ? above[j - 1] + 1 : Math.max(above[j], row[j - 1]);
            }
            above = row;
        }
        return new Overlap(above[reference.size()], answer.size(), reference.size());
    }
}
