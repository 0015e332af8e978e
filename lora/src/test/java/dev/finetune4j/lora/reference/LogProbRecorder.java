package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.OptimizerBatch;
import dev.finetune4j.lora.objective.DeviceBatch;
import dev.finetune4j.lora.objective.Objective;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** An objective on pairs of sequences that keeps the log-probability of each answer in each pass, as it is before its step. */
final class LogProbRecorder implements Objective {
    private final Objective of;
    private final List<Pass> passes = new ArrayList<>();

    /** Sums and tokens of the answers in the order of the batch. */
    private record Pass(float[] logProbs, int[] tokens) {}

    LogProbRecorder(Objective of) {
        this.of = of;
    }

    /** How many passes were recorded. */
    int trained() {
        return passes.size();
    }

    /**
     * Compares a pass with what the log says of its micro-batch.
     *
     * @param names the names of first and second answers there
     */
    void compare(int index, JsonNode micro, Map.Entry<String, String> names) {
        Pass pass = passes.get(index);
        boolean means = micro.path("logps_are").asText().equals("mean");
        assertEquals(2 * micro.path(names.getKey()).size(), pass.tokens.length, "answers of pass " + index);
        for (int i = 0; i < pass.tokens.length; i++) {
            String name = i % 2 == 0 ? names.getKey() : names.getValue();
            double actual = means ? pass.logProbs[i] / pass.tokens[i] : pass.logProbs[i];
            assertEquals(
                    micro.path(name).path(i / 2).asDouble(),
                    actual,
                    1e-3,
                    name + "[" + i / 2 + "] of micro-batch " + index);
        }
    }

    @Override
    public Tensor forwardBackward(CausalLM model, DeviceBatch batch) {
        List<Batch.Sequence> sequences = batch.host().sequences();
        int[] tokens =
                sequences.stream().mapToInt(s -> s.tokens().targetTokens()).toArray();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor parts = SequenceLogProbs.of(
                    model.hidden(batch.input()), new SequenceLogProbs.Head(model::logits, 0), batch.targets());
            // Where prompts are told apart, answers follow them.
            Tensor table = parts.view(sequences.size(), -1);
            passes.add(new Pass(Tensors.toFloats(table.select(1, table.size(1) - 1)), tokens));
        }
        return of.forwardBackward(model, batch);
    }

    @Override
    public void passed(DeviceBatch batch) {
        of.passed(batch);
    }

    @Override
    public int terms(Batch batch) {
        return of.terms(batch);
    }

    @Override
    public double scale(OptimizerBatch step, int microBatch) {
        return of.scale(step, microBatch);
    }

    @Override
    public DeviceBatch toDevice(CausalLM model, Batch batch, double scale, int multiple) {
        return of.toDevice(model, batch, scale, multiple);
    }

    @Override
    public double[] evaluate(CausalLM model, Batch batch) {
        return of.evaluate(model, batch);
    }

    @Override
    public List<String> metrics() {
        return of.metrics();
    }
}
