package dev.finetune4j.lora.preference;

import org.bytedeco.pytorch.Tensor;

/** An objective on pairs of answers to the same prompt, of which one is better. */
public sealed interface PairLoss extends PreferenceLoss permits Dpo, Hinge, Ipo, SimPo, Orpo {
    /**
     * The loss of each pair.
     *
     * @param chosen the scores of the better answers
     * @param rejected the scores of the worse ones, in the same order
     * @return (N), float32, differentiable with respect to both policy scores
     * @throws IllegalArgumentException when the numbers of answers differ, or reference scores are needed and missing
     */
    Tensor losses(AnswerScores chosen, AnswerScores rejected);
}
