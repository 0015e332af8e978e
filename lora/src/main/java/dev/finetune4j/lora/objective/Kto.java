package dev.finetune4j.lora.objective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

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
        if (desirable.length != answers.size()) {
            throw new IllegalArgumentException(
                    "there are " + desirable.length + " judgements of " + answers.size() + " answers");
        }
        float[] judgements = new float[desirable.length];
        for (int i = 0; i < judgements.length; i++) {
            judgements[i] = desirable[i] ? 1 : 0;
        }
        try (TensorScope scope = new TensorScope()) {
            ComputeDevice device = Tensors.deviceOf(answers.policy());
            return scope.keep(losses(
                    answers,
                    Tensors.ofFloats(device, judgements, judgements.length),
                    Tensors.ofFloats(device, new float[] {(float) baseline}, 1)));
        }
    }

    /**
     * The same with everything on the device.
     *
     * @param desirable 1 for each answer that was judged so, else 0, (N) float32
     * @param baseline z, (1)
     */
    Tensor losses(LogProbs answers, Tensor desirable, Tensor baseline) {
        try (TensorScope scope = new TensorScope()) {
            Tensor gain = Margins.logRatio(answers).sub(baseline); // (N)
            Tensor sign = desirable.mul(new Scalar(-2.0)).add(new Scalar(1.0));
            Tensor weight = desirable
                    .mul(new Scalar(desirableWeight - undesirableWeight))
                    .add(new Scalar(undesirableWeight));
            // 1 - σ(x) as σ(-x), which does not cancel.
            return scope.keep(gain.mul(new Scalar(beta)).mul(sign).sigmoid().mul(weight));
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
            return klEstimate(mismatched, alone -> {}).item_double();
        }
    }

    /**
     * The same on the device, (1), over the answers of all ranks.
     *
     * @param overRanks adds up, in place
     */
    static Tensor klEstimate(LogProbs mismatched, Consumer<Tensor> overRanks) {
        Tensor ratios = Margins.logRatio(mismatched).detach();
        Tensor count =
                Tensors.zeros(Tensors.deviceOf(ratios), ScalarType.Float, 1).fill_(new Scalar((float) ratios.numel()));
        Tensor sums = torch.cat(new TensorVector(ratios.sum().view(1), count), 0);
        overRanks.accept(sums);
        return sums.narrow(0, 0, 1).div(sums.narrow(0, 1, 1)).clamp_min(new Scalar(0));
    }

    /** Takes part in {@link #klEstimate} without an answer. */
    static void skipKlEstimate(ComputeDevice device, Consumer<Tensor> overRanks) {
        try (TensorScope scope = new TensorScope()) {
            overRanks.accept(Tensors.zeros(device, ScalarType.Float, 2));
        }
    }

    /** The implicit reward of each answer, (N). */
    Tensor rewards(LogProbs answers) {
        return Margins.logRatio(answers).mul(new Scalar(beta));
    }
}
