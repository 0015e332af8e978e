package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * How the cross entropy of chosen answers, which some losses on pairs add, is averaged. Only {@link #EACH_ANSWER} does not change
 * with the way a step is split into micro-batches; the others are TRL's.
 */
public enum AnswerLoss {
    /** The mean over the answers of the mean over the tokens of each. */
    EACH_ANSWER,
    /** The mean over the tokens of all answers of a micro-batch, as TRL's DPO and CPO take it. */
    TOKENS,
    /** The mean over the tokens of all prompts and answers of a micro-batch, as TRL's ORPO takes it. */
    TOKENS_WITH_PROMPTS;

    /** Whether {@link LogProbs#prompts} are needed. */
    boolean needsPrompts() {
        return this == TOKENS_WITH_PROMPTS;
    }

    /**
     * The share of each answer, the mean of which is the cross entropy.
     *
     * @return (N), float32, in the caller's scope
     * @throws IllegalArgumentException when the prompts are needed and missing
     */
    Tensor of(LogProbs chosen) {
        if (this == EACH_ANSWER) {
            return Margins.perToken(chosen, chosen.policy()).neg();
        }
        if (this == TOKENS) {
            return overTokens(chosen.policy(), chosen.tokens());
        }
        LogProbs.Prompts prompts = chosen.prompts();
        if (prompts == null) {
            throw new IllegalArgumentException("this loss learns the prompts too; give their log-probabilities");
        }
        try (TensorScope scope = new TensorScope()) {
            return scope.keep(overTokens(
                    chosen.policy().add(prompts.policy()), chosen.tokens().add(prompts.tokens())));
        }
    }

    /** Shares whose mean is that over all tokens, (N). */
    private static Tensor overTokens(Tensor logProbs, Tensor tokens) {
        try (TensorScope scope = new TensorScope()) {
            return scope.keep(
                    logProbs.mul(new Scalar(-(double) logProbs.numel())).div(tokens.sum()));
        }
    }
}
