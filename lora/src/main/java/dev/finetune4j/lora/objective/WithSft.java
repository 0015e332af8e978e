package dev.finetune4j.lora.objective;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * A preference loss plus the weighted cross entropy of the chosen answers, which keeps the model from becoming less likely to
 * say either.
 *
 * @param preference the loss of the pairs
 * @param weight of the cross entropy, above 0; 1 is usual for CPO, less for DPO
 * @param chosen how it is averaged
 */
public record WithSft(PairLoss preference, double weight, AnswerLoss chosen) implements PairLoss {
    /** @throws dev.finetune4j.core.SettingsException when the weight is not above 0 */
    public WithSft {
        new Ranges().above("the weight of the SFT loss", weight, 0).check();
    }

    @Override
    public boolean needsReference() {
        return preference.needsReference();
    }

    @Override
    public boolean needsPrompts() {
        return preference.needsPrompts() || chosen.needsPrompts();
    }

    @Override
    public Tensor losses(LogProbs better, LogProbs rejected) {
        try (TensorScope scope = new TensorScope()) {
            Tensor sft = chosen.of(better).mul(new Scalar(weight)); // (N)
            return scope.keep(preference.losses(better, rejected).add(sft));
        }
    }

    @Override
    public Tensor rewards(LogProbs answers) {
        return preference.rewards(answers);
    }
}
