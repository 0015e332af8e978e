package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Direct preference optimization (<a href="https://arxiv.org/abs/2305.18290">Rafailov et al. 2023</a>):
 * {@code -log σ(β m)}, where the margin m is how much more than the reference the policy prefers the better answer. With
 * label smoothing ε, a share of the pairs is taken to be the wrong way round (conservative DPO):
 * {@code -(1 - ε) log σ(β m) - ε log σ(-β m)}.
 *
 * @param beta strength of the pull towards the reference, above 0; 0.1 is usual
 * @param labelSmoothing ε, from 0 to below 0.5
 */
public record Dpo(double beta, double labelSmoothing) implements PairLoss {
    /** @throws dev.finetune4j.core.SettingsException when a component is out of its range */
    public Dpo {
        new Ranges()
                .above("the DPO beta", beta, 0)
                .within("the DPO label smoothing", labelSmoothing, 0, 0.5)
                .check();
    }

    /** Without label smoothing. */
    public static Dpo of(double beta) {
        return new Dpo(beta, 0);
    }

    @Override
    public boolean needsReference() {
        return true;
    }

    @Override
    public Tensor losses(LogProbs chosen, LogProbs rejected) {
        try (TensorScope scope = new TensorScope()) {
            Tensor logits = Margins.againstReference(chosen, rejected).mul(new Scalar(beta)); // (N)
            return scope.keep(Margins.smoothed(logits, labelSmoothing));
        }
    }

    @Override
    public Tensor rewards(LogProbs answers) {
        return Margins.logRatio(answers).mul(new Scalar(beta));
    }
}
