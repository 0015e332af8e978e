package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Log-probabilities of N answers under the policy and the reference model. Owns nothing: the tensors live in the caller's scope.
 *
 * @param policy log-probability of each answer under the trained model (the policy), summed over its tokens, (N) float32;
 *     gradients run through it
 * @param reference the same under the frozen reference model, (N), or null when no loss will ask for it
 * @param tokens number of tokens of each answer, at least 1, (N) float32
 * @param prompts what comes before the answers, or null when no loss will ask for it
 */
public record LogProbs(
        Tensor policy,
        @Nullable Tensor reference,
        Tensor tokens,
        @Nullable Prompts prompts) {
    /**
     * The prompts before the answers, for a loss that learns them as well.
     *
     * @param policy log-probability of each prompt under the policy, summed over all of its tokens but the first, (N) float32
     * @param tokens number of those tokens of each prompt, (N) float32
     */
    public record Prompts(Tensor policy, Tensor tokens) {}

    /** @throws IllegalArgumentException when the sizes differ */
    public LogProbs {
        requireSize("policy", policy, tokens.numel());
        if (reference != null) {
            requireSize("reference", reference, tokens.numel());
        }
    }

    /**
     * With numbers of tokens that the host knows, and without the prompts.
     *
     * @throws IllegalArgumentException when the sizes differ or an answer has no token
     */
    public LogProbs(Tensor policy, @Nullable Tensor reference, int[] tokens) {
        this(policy, reference, counts(policy, tokens), null);
    }

    private static Tensor counts(Tensor policy, int... tokens) {
        float[] counts = new float[tokens.length];
        for (int i = 0; i < tokens.length; i++) {
            if (tokens[i] < 1) {
                throw new IllegalArgumentException(
                        "answer " + i + " has " + tokens[i] + " tokens; leave answers without tokens out");
            }
            counts[i] = tokens[i];
        }
        return Tensors.ofFloats(Tensors.deviceOf(policy), counts, counts.length);
    }

    private static void requireSize(String name, Tensor logProbs, long size) {
        if (logProbs.dim() != 1 || logProbs.numel() != size) {
            throw new IllegalArgumentException("the " + name + " log-probabilities have the shape "
                    + Arrays.toString(logProbs.shape()) + ", but there are " + size + " answers");
        }
    }

    /** N. */
    public int size() {
        return Math.toIntExact(policy.numel());
    }
}
