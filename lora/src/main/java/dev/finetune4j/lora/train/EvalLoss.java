package dev.finetune4j.lora.train;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.Batch;
import java.util.List;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** The loss on some rows, without gradients and dropout. Stateless. */
final class EvalLoss {
    private EvalLoss() {}

    /** The mean over the target tokens of all batches, in nats. */
    static double of(CausalLM model, List<Batch> batches) {
        double sum = 0;
        int targets = 0;
        for (Batch batch : batches) {
            try (Lifetime.Use use = model.use();
                    TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                Tensor hidden =
                        model.hidden(ModelInput.padded(model.tokens(batch.inputIds(), batch.rows(), batch.length())));
                sum += NextTokenLoss.sum(hidden, model::logits, batch.labels());
            }
            targets += batch.targetTokens();
        }
        return sum / targets;
    }
}
