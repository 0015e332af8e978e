package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * The preference part of contrastive preference optimization (<a href="https://arxiv.org/abs/2401.08417">Xu et al. 2024</a>):
 * DPO's loss against a reference that likes all answers alike, {@code -log σ(β m)} with the margin m of the log-probabilities
 * themselves. The paper adds the cross entropy of the chosen answers: {@link WithSft}.
 *
 * @param beta scale of the margin, above 0; 0.1 is usual
 * @param labelSmoothing share of the pairs taken to be the wrong way round, from 0 to below 0.5
 */
public record Cpo(double beta, double labelSmoothing) implements PairLoss {
    /** @throws dev.finetune4j.core.SettingsException when a component is out of its range */
    public Cpo {
        new Ranges()
                .above("the CPO beta", beta, 0)
                .within("the CPO label smoothing", labelSmoothing, 0, 0.5)
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
            Tensor logits = chosen.policy().sub(rejected.policy()).mul(new Scalar(beta)); // (N)
            return scope.keep(Margins.smoothed(logits, labelSmoothing));
        }
    }

    @Override
    public Tensor rewards(LogProbs answers) {
        return answers.policy().mul(new Scalar(beta));
    }
}
