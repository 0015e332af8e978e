package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Odds ratio preference optimization (<a href="https://arxiv.org/abs/2403.07691">Hong et al. 2024</a>): ordinary
 * fine-tuning on the better answer, plus {@code λ} times {@code -log σ(log odds ratio)}. The odds of an answer are
 * {@code p / (1 - p)}, where p is the geometric mean of its tokens' probabilities. It needs no reference model.
 *
 * @param weight λ, above 0; 0.1 is usual
 * @param chosen which tokens fine-tuning counts, and how; the paper's are those of the answers
 */
public record Orpo(double weight, AnswerLoss chosen) implements PairLoss {
    /** The odds of an answer that the model is sure of are unbounded; nearer to sure than this they stop growing. */
    private static final double SUREST = -1e-7;

    /** @throws dev.finetune4j.core.SettingsException when the weight is not above 0 */
    public Orpo {
        new Ranges().above("the ORPO weight", weight, 0).check();
    }

    /** With the mean over the better answers of the mean over the tokens of each. */
    public Orpo(double weight) {
        this(weight, AnswerLoss.EACH_ANSWER);
    }

    @Override
    public boolean needsReference() {
        return false;
    }

    @Override
    public boolean needsPrompts() {
        return chosen.needsPrompts();
    }

    /** The loss of the better answers plus the weighted {@link #oddsTerm}. */
    @Override
    public Tensor losses(LogProbs better, LogProbs rejected) {
        try (TensorScope scope = new TensorScope()) {
            Tensor odds = oddsTerm(better, rejected).mul(new Scalar(weight));
            return scope.keep(odds.add(chosen.of(better)));
        }
    }

    /**
     * The preference part alone, not weighted, for those who have the loss of the better answers already.
     *
     * @return (N), float32, differentiable with respect to both policy log-probabilities
     * @throws IllegalArgumentException when the numbers of answers differ
     */
    public Tensor oddsTerm(LogProbs better, LogProbs rejected) {
        Margins.requirePairs(better, rejected);
        try (TensorScope scope = new TensorScope()) {
            Tensor ratio = logOdds(better).sub(logOdds(rejected)); // (N)
            return scope.keep(Margins.minusLogSigmoid(ratio));
        }
    }

    @Override
    public Tensor rewards(LogProbs answers) {
        return Margins.perToken(answers, answers.policy()).mul(new Scalar(weight));
    }

    private static Tensor logOdds(LogProbs answers) {
        Tensor mean = Margins.perToken(answers, answers.policy()); // (N), log p
        Tensor rest = mean.clamp_max(new Scalar(SUREST)).expm1().neg(); // (N), 1 - p
        return mean.sub(rest.log());
    }
}
