package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Kahneman-Tversky optimization (<a href="https://arxiv.org/abs/2402.01306">Ethayarajh et al. 2024</a>), which learns
 * from single answers judged desirable or undesirable: {@code w (1 - σ(β (r - z)))} for a desirable one and
 * {@code w (1 - σ(β (z - r)))} for an undesirable one. r is the log-ratio of
 * policy and reference (the implicit reward over β), z the {@linkplain #baseline mean of that over mismatched answers}, which
 * estimates their KL divergence.
 *
 * @param beta strength of the pull towards the reference, above 0; 0.1 is usual
 * @param desirableWeight w of a desirable answer, above 0
 * @param undesirableWeight w of an undesirable answer, above 0
 */
public record Kto(double beta, double desirableWeight, double undesirableWeight) implements PreferenceLoss {
    /** @throws dev.finetune4j.core.SettingsException when a component is not above 0 */
    public Kto {
        new Ranges()
                .above("the KTO beta", beta, 0)
                .above("the KTO weight of desirable answers", desirableWeight, 0)
                .above("the KTO weight of undesirable answers", undesirableWeight, 0)
                .check();
    }

    /** Desirable and undesirable answers weigh the same. */
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
     * @param answers the log-probabilities
     * @param desirable whether each answer was desirable
     * @param baseline z, 0 or more
     * @return (N), float32, differentiable with respect to the policy log-probabilities
     * @throws IllegalArgumentException when the numbers of answers differ, or reference log-probabilities are missing
     */
    public Tensor losses(LogProbs answers, boolean[] desirable, double baseline) {
        try (TensorScope scope = new TensorScope()) {
            float[] z = {(float) baseline};
            return scope.keep(losses(answers, desirable, Tensors.ofFloats(Tensors.deviceOf(answers.policy()), z, 1)));
        }
    }

    /** The same with z on the device, (1). */
    Tensor losses(LogProbs answers, boolean[] desirable, Tensor baseline) {
        if (desirable.length != answers.tokens().length) {
            throw new IllegalArgumentException(
                    "there are " + desirable.length + " judgements of " + answers.tokens().length + " answers");
        }
        float[] sign = new float[desirable.length];
        float[] weight = new float[desirable.length];
        for (int i = 0; i < desirable.length; i++) {
            sign[i] = (float) (desirable[i] ? -beta : beta);
            weight[i] = (float) (desirable[i] ? desirableWeight : undesirableWeight);
        }
        try (TensorScope scope = new TensorScope()) {
            var device = Tensors.deviceOf(answers.policy());
            Tensor gain = Margins.logRatio(answers).sub(baseline); // (N)
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
     * @param mismatched log-probabilities of each prompt with the answer of another
     * @throws IllegalArgumentException when reference log-probabilities are missing
     */
    public static double baseline(LogProbs mismatched) {
        try (TensorScope scope = new TensorScope()) {
            return klEstimate(mismatched).item_double();
        }
    }

    /** The same on the device, (1). */
    static Tensor klEstimate(LogProbs mismatched) {
        return Margins.logRatio(mismatched)
                .detach()
                .mean()
                .clamp_min(new Scalar(0))
                .view(1);
    }

    /** The implicit reward of each answer, (N). */
    Tensor rewards(LogProbs answers) {
        return Margins.logRatio(answers).mul(new Scalar(beta));
    }
}
