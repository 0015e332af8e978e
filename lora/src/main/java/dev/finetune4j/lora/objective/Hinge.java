package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * The hinge on DPO's margin (<a href="https://arxiv.org/abs/2309.06657">Liu et al. 2023</a>, after SLiC):
 * {@code max(0, 1 - β m)}. A pair whose margin is wide enough teaches nothing.
 *
 * @param beta one over the margin that is wide enough, above 0
 */
public record Hinge(double beta) implements PairLoss {
    /** @throws dev.finetune4j.core.SettingsException when beta is not above 0 */
    public Hinge {
        new Ranges().above("the hinge beta", beta, 0).check();
    }

    @Override
    public boolean needsReference() {
        return true;
    }

    @Override
    public Tensor losses(LogProbs chosen, LogProbs rejected) {
        try (TensorScope scope = new TensorScope()) {
            Tensor margin = Margins.againstReference(chosen, rejected); // (N)
            return scope.keep(margin.mul(new Scalar(-beta)).add(new Scalar(1)).relu());
        }
    }

    @Override
    public Tensor rewards(LogProbs answers) {
        return Margins.logRatio(answers).mul(new Scalar(beta));
    }
}
