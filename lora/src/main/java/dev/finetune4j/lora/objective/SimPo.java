package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Simple preference optimization (<a href="https://arxiv.org/abs/2405.14734">Meng et al. 2024</a>):
 * {@code -log σ(β m - γ)}, where the margin m is taken between log-probabilities per token. It needs no reference model.
 *
 * @param beta scale of the margin, above 0; the paper uses 2 to 10
 * @param gamma what the scaled margin should reach, 0 or more; about half of beta is usual
 */
public record SimPo(double beta, double gamma) implements PairLoss {
    /** @throws dev.finetune4j.core.SettingsException when a component is out of its range */
    public SimPo {
        new Ranges()
                .above("the SimPO beta", beta, 0)
                .within("the SimPO gamma", gamma, 0, Double.POSITIVE_INFINITY)
                .check();
    }

    @Override
    public boolean needsReference() {
        return false;
    }

    @Override
    public Tensor losses(LogProbs chosen, LogProbs rejected) {
        Margins.requirePairs(chosen, rejected);
        try (TensorScope scope = new TensorScope()) {
            Tensor margin =
                    Margins.perToken(chosen, chosen.policy()).sub(Margins.perToken(rejected, rejected.policy())); // (N)
            Tensor logits = margin.mul(new Scalar(beta)).sub(new Scalar(gamma));
            return scope.keep(Margins.minusLogSigmoid(logits));
        }
    }

    @Override
    public Tensor rewards(LogProbs answers) {
        return Margins.perToken(answers, answers.policy()).mul(new Scalar(beta));
    }
}
