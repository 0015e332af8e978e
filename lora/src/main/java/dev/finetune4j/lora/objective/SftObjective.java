package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.nn.RouterBalance;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.batch.Batch;
import java.util.List;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * Supervised fine-tuning: cross entropy of the next token over the positions that have a label, in nats. Where rows have loss weights it
 * is the weighted sum, divided by the sum of the weights of the whole step. LLaMA-Factory's v1 does the same within a micro-batch, but
 * takes the mean of those by their numbers of labels, which changes with the way a step is split.
 */
public record SftObjective() implements Objective {
    @Override
    public int terms(Batch batch) {
        return batch.targetTokens();
    }

    @Override
    public double weight(Batch batch) {
        return batch.targetWeight();
    }

    @Override
    public DeviceBatch toDevice(CausalLM model, Batch batch, double scale, int multiple) {
        return DeviceBatch.ofTokens(model, batch, scale, multiple);
    }

    @Override
    public Tensor forwardBackward(CausalLM model, DeviceBatch batch) {
        try (TensorScope scope = new TensorScope()) {
            RouterBalance balance = RouterLoss.of(model, batch);
            Tensor hidden = model.hidden(batch.input(), balance); // (B, T, D)
            double cap = model.config().finalLogitSoftcapping();
            Tensor sum =
                    NextTokenLoss.lossAndBackward(hidden, model::uncappedLogits, cap, batch.targets(), batch.scale());
            Tensor loss = sum.mul(batch.scale());
            return scope.keep(balance == null ? loss : loss.add_(balance.loss()));
        }
    }

    @Override
    public boolean isCapturable() {
        return true;
    }

    @Override
    public double[] evaluate(CausalLM model, Batch batch) {
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                Targets targets = Targets.of(model.placement().device(), batch.labels(), batch.weights(), 1)) {
            double cap = model.config().finalLogitSoftcapping();
            Tensor hidden = model.hidden(DeviceBatch.input(model, batch)); // (B, T, D)
            NextTokenLoss.Score score = NextTokenLoss.score(hidden, model::uncappedLogits, cap, targets);
            return new double[] {score.loss(), score.correct(), batch.targetTokens()};
        }
    }

    @Override
    public List<String> evaluationMetrics() {
        return List.of("mean_token_accuracy");
    }

    @Override
    public boolean reproducesTargets() {
        return true;
    }
}
