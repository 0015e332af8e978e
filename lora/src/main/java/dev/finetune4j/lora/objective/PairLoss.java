package dev.finetune4j.lora.objective;

import org.bytedeco.pytorch.Tensor;

/** An objective on pairs of answers to the same prompt, of which one is better. */
public sealed interface PairLoss extends PreferenceLoss permits Dpo, RobustDpo, Hinge, Ipo, SimPo, Cpo, Orpo, WithSft {
    /**
     * The loss of each pair.
     *
     * @param chosen the log-probabilities of the chosen, better answers
     * @param rejected those of the rejected ones, in the same order
     * @return (N), float32, differentiable with respect to both policy log-probabilities
     * @throws IllegalArgumentException when the numbers of answers differ, or reference log-probabilities are needed and missing
     */
    Tensor losses(LogProbs chosen, LogProbs rejected);

    /** Whether {@link LogProbs#prompts} of the chosen answers are needed. */
    default boolean needsPrompts() {
        return false;
    }

    /**
     * The implicit reward of each answer, as TRL reports it.
     *
     * @param answers their log-probabilities
     * @return (N), float32, in the caller's scope
     * @throws IllegalArgumentException when reference log-probabilities are needed and missing
     */
    Tensor rewards(LogProbs answers);
}
