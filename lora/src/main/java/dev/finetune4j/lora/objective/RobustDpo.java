package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * DPO for judgements of which a known share is the wrong way round
 * (<a href="https://arxiv.org/abs/2403.00409">Chowdhury et al. 2024</a>), without bias:
 * {@code (-(1 - ε) log σ(β m) + ε log σ(-β m)) / (1 - 2 ε)}, which can be below 0.
 *
 * @param beta strength of the pull towards the reference, above 0; 0.1 is usual
 * @param flipped ε, the share of wrong judgements, from 0 to below 0.5
 */
public record RobustDpo(double beta, double flipped) implements PairLoss {
    /** @throws dev.finetune4j.core.SettingsException when a component is out of its range */
    public RobustDpo {
        new Ranges()
                .above("the robust DPO beta", beta, 0)
                .within("the share of flipped pairs", flipped, 0, 0.5)
                .check();
    }

    @Override
    public boolean needsReference() {
        return true;
    }

    @Override
    public Tensor losses(LogProbs chosen, LogProbs rejected) {
        try (TensorScope scope = new TensorScope()) {
            Tensor logits = Margins.againstReference(chosen, rejected).mul(new Scalar(beta)); // (N)
            double all = 1 - 2 * flipped;
            return scope.keep(Margins.minusLogSigmoid(logits)
                    .mul(new Scalar((1 - flipped) / all))
                    .sub(Margins.minusLogSigmoid(logits.neg()).mul(new Scalar(flipped / all))));
        }
    }

    @Override
    public Tensor rewards(LogProbs answers) {
        return Margins.logRatio(answers).mul(new Scalar(beta));
    }
}
