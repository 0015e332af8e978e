package dev.finetune4j.lora.preference;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Kahneman-Tversky optimization (<a href="https://arxiv.org/abs/2402.01306">Ethayarajh et al. 2024</a>), which learns
 * from single answers that somebody liked or disliked: {@code w (1 - σ(β (r - z)))} for a liked one and
 * {@code w (1 - σ(β (z - r)))} for a disliked one. r is how much likelier than to the reference the answer is to the
 * policy, z the {@linkplain #baseline mean of that over unrelated answers}.
 *
 * @param beta strength of the pull towards the reference, above 0; 0.1 is usual
 * @param likedWeight w of a liked answer, above 0
 * @param dislikedWeight w of a disliked answer, above 0
 */
public record Kto(double beta, double likedWeight, double dislikedWeight) implements PreferenceLoss {
    /** @throws dev.finetune4j.core.SettingsException when a component is not above 0 */
    public Kto {
        new Ranges()
                .above("the KTO beta", beta, 0)
                .above("the KTO weight of liked answers", likedWeight, 0)
                .above("the KTO weight of disliked answers", dislikedWeight, 0)
                .check();
    }

    /** Liked and disliked answers weigh the same. */
    public static Kto of(double beta) {
        return new Kto(beta, 1, 1);
    }

    @Override
    public boolean needsReference() {
        return true;
    }

    /**
     * The loss of each answer.
     *
     * @param answers the scores
     * @param liked whether each answer was liked
     * @param baseline z, 0 or more
     * @return (N), float32, differentiable with respect to the policy scores
     * @throws IllegalArgumentException when the numbers of answers differ, or reference scores are missing
     */
    public Tensor losses(AnswerScores answers, boolean[] liked, double baseline) {
        if (liked.length != answers.tokens().length) {
            throw new IllegalArgumentException(
                    "there are " + liked.length + " judgements of " + answers.tokens().length + " answers");
        }
        float[] sign = new float[liked.length];
        float[] weight = new float[liked.length];
        for (int i = 0; i < liked.length; i++) {
            sign[i] = (float) (liked[i] ? -beta : beta);
            weight[i] = (float) (liked[i] ? likedWeight : dislikedWeight);
        }
        try (TensorScope scope = new TensorScope()) {
            var device = Tensors.deviceOf(answers.policy());
            Tensor gain = Margins.logRatio(answers).sub(new Scalar(baseline)); // (N)
            // 1 - σ(x) as σ(-x), which does not cancel.
            Tensor losses =
                    gain.mul(Tensors.ofFloats(device, sign, sign.length)).sigmoid();
            return scope.keep(losses.mul(Tensors.ofFloats(device, weight, weight.length)));
        }
    }

    /**
     * z of a batch: the mean log-ratio of policy and reference over answers that belong to other prompts, an estimate of
     * their divergence, and at least 0. No gradient runs through it.
     *
     * @param mismatched scores of each prompt with the answer of another
     * @throws IllegalArgumentException when reference scores are missing
     */
    public static double baseline(AnswerScores mismatched) {
        try (TensorScope scope = new TensorScope()) {
            return Math.max(0, Margins.logRatio(mismatched).detach().mean().item_double());
        }
    }
}
