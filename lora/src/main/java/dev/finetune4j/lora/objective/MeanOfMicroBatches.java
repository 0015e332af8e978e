package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.OptimizerBatch;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Takes the mean of the means of the micro-batches, as TRL's preference trainers do, for loss and metrics: terms of a smaller
 * micro-batch count more, so the result changes with the way a step is split. By itself an objective counts all terms
 * alike.
 *
 * @param of what is minimized
 */
public record MeanOfMicroBatches(Objective of) implements Objective {
    @Override
    public Optional<String> startProblem(Map<String, Double> metrics) {
        return of.startProblem(metrics);
    }

    @Override
    public int terms(Batch batch) {
        return of.terms(batch);
    }

    @Override
    public double weight(Batch batch) {
        return of.weight(batch);
    }

    @Override
    public double scale(OptimizerBatch step, int microBatch) {
        return 1.0
                / step.size()
                / step.shares(microBatch).stream().mapToDouble(of::weight).sum();
    }

    @Override
    public void skip(CausalLM model) {
        of.skip(model);
    }

    @Override
    public boolean needsAllRanks() {
        return of.needsAllRanks();
    }

    @Override
    public DeviceBatch toDevice(CausalLM model, Batch batch, double scale, int multiple) {
        return of.toDevice(model, batch, scale, multiple);
    }

    /** Each sum of a metric becomes a mean, which counts once where there was anything to count. */
    @Override
    public Tensor forwardBackward(CausalLM model, DeviceBatch batch) {
        try (TensorScope scope = new TensorScope()) {
            Tensor sums = of.forwardBackward(model, batch);
            Scalar one = new Scalar(1.0);
            TensorVector parts = new TensorVector();
            parts.push_back(sums.narrow(0, 0, 1));
            for (int i = 0; i < metrics().size(); i++) {
                Tensor count = sums.narrow(0, 2 + 2L * i, 1);
                parts.push_back(sums.narrow(0, 1 + 2L * i, 1).div(count.clamp_min(one)));
                parts.push_back(count.clamp_max(one));
            }
            return scope.keep(torch.cat(parts, 0));
        }
    }

    @Override
    public void passed(DeviceBatch batch) {
        of.passed(batch);
    }

    @Override
    public Map<String, Tensor> findings() {
        return of.findings();
    }

    @Override
    public void restore(Map<String, Tensor> findings) {
        of.restore(findings);
    }

    @Override
    public boolean isCapturable() {
        return of.isCapturable();
    }

    @Override
    public double[] evaluate(CausalLM model, Batch batch) {
        return of.evaluate(model, batch);
    }

    @Override
    public List<String> evaluationMetrics() {
        return of.evaluationMetrics();
    }

    @Override
    public List<String> metrics() {
        return of.metrics();
    }

    @Override
    public boolean reproducesTargets() {
        return of.reproducesTargets();
    }
}
