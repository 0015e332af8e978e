package dev.finetune4j.lora.objective;

import java.util.Arrays;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Log-probabilities of N answers under the policy and the reference model. Owns nothing: the tensors live in the caller's scope.
 *
 * @param policy log-probability of each answer under the trained model (the policy), summed over its tokens, (N) float32;
 *     gradients run through it
 * @param reference the same under the frozen reference model, (N), or null when no loss will ask for it
 * @param tokens number of tokens of each answer, at least 1
 * @param prompts what comes before the answers, or null when no loss will ask for it
 */
public record LogProbs(
        Tensor policy,
        @Nullable Tensor reference,
        int[] tokens,
        @Nullable Prompts prompts) {
    /**
     * The prompts before the answers, for a loss that learns them as well.
     *
     * @param policy log-probability of each prompt under the policy, summed over all of its tokens but the first, (N) float32
     * @param tokens number of those tokens in all prompts together
     */
    public record Prompts(Tensor policy, int tokens) {}

    /** Without the prompts. */
    public LogProbs(Tensor policy, @Nullable Tensor reference, int[] tokens) {
        this(policy, reference, tokens, null);
    }

    /** @throws IllegalArgumentException when the sizes differ or an answer has no token */
    public LogProbs {
        tokens = tokens.clone();
        requireSize("policy", policy, tokens.length);
        if (reference != null) {
            requireSize("reference", reference, tokens.length);
        }
        for (int i = 0; i < tokens.length; i++) {
            if (tokens[i] < 1) {
                throw new IllegalArgumentException(
                        "answer " + i + " has " + tokens[i] + " tokens; leave answers without tokens out");
            }
        }
    }

    private static void requireSize(String name, Tensor logProbs, int size) {
        if (logProbs.dim() != 1 || logProbs.numel() != size) {
            throw new IllegalArgumentException("the " + name + " log-probabilities have the shape "
                    + Arrays.toString(logProbs.shape()) + ", but there are " + size + " answers");
        }
    }

    /** Number of tokens of each answer, as a copy. */
    @Override
    public int[] tokens() {
        return tokens.clone();
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof LogProbs that
                && policy.equals(that.policy)
                && Objects.equals(reference, that.reference)
                && Arrays.equals(tokens, that.tokens)
                && Objects.equals(prompts, that.prompts);
    }

    @Override
    public int hashCode() {
        return Objects.hash(policy, reference, Arrays.hashCode(tokens), prompts);
    }

    @Override
    public String toString() {
        return "log-probabilities of " + tokens.length + " answers" + (reference == null ? " without" : " with")
                + " a reference";
    }
}
