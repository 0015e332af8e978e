package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Identity preference optimization (<a href="https://arxiv.org/abs/2310.12036">Azar et al. 2023</a>):
 * {@code (m - 1 / (2 β))²}, where the margin m is taken between log-probabilities per token, so that answers of
 * different lengths can be compared.
 *
 * @param beta τ of the paper, above 0: the margin wanted is one over twice this
 */
public record Ipo(double beta) implements PairLoss {
    /** @throws dev.finetune4j.core.SettingsException when beta is not above 0 */
    public Ipo {
        new Ranges().above("the IPO beta", beta, 0).check();
    }

    @Override
    public boolean needsReference() {
        return true;
    }

    @Override
    public Tensor losses(LogProbs chosen, LogProbs rejected) {
        Margins.requirePairs(chosen, rejected);
        try (TensorScope scope = new TensorScope()) {
            Tensor margin = Margins.perToken(chosen, Margins.logRatio(chosen))
                    .sub(Margins.perToken(rejected, Margins.logRatio(rejected))); // (N)
            return scope.keep(margin.sub(new Scalar(1 / (2 * beta))).square());
        }
    }

    @Override
    public Tensor rewards(LogProbs answers) {
        return Margins.logRatio(answers).mul(new Scalar(beta));
    }
}
