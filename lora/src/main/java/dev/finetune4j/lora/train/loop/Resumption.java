package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.checkpoint.SavedCheckpoint;
import dev.finetune4j.lora.train.checkpoint.TrainerState;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * A checkpoint from which a training goes on. Immutable.
 *
 * @param frozen the tensors beside what is trained that get the values of then
 */
record Resumption(SavedCheckpoint saved, Map<String, Tensor> frozen) {
    /** What was done before. */
    TrainingReport.History history() {
        return saved.state().history();
    }

    /** Puts state, frozen tensors and what the objective had found out where they were. */
    void restore(TrainingState state, Objective objective) {
        try (TrainingState.Snapshot snapshot = read()) {
            state.restore(snapshot);
        }
        restore(objective);
    }

    /** The state of then, which the caller closes; the frozen tensors get their values. */
    TrainingState.Snapshot read() {
        TrainerState state = saved.state();
        Map<String, Tensor> values = new LinkedHashMap<>();
        Map<String, Tensor> optimizer = new LinkedHashMap<>();
        try (var file = saved.tensors();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            for (String name : file.names()) {
                if (name.startsWith(Checkpoints.VALUE)) {
                    values.put(name.substring(Checkpoints.VALUE.length()), file.read(name));
                } else if (name.startsWith(Checkpoints.OPTIMIZER)) {
                    optimizer.put(name.substring(Checkpoints.OPTIMIZER.length()), file.read(name));
                }
            }
            for (Map.Entry<String, Tensor> entry : frozen.entrySet()) {
                entry.getValue().copy_(file.read(Checkpoints.FROZEN + entry.getKey()));
            }
            values.values().forEach(scope::release);
            optimizer.values().forEach(scope::release);
        }
        return new TrainingState.Snapshot(
                state.step(),
                state.updates(),
                state.position(),
                new TrainingState.RandomState(state.dropoutSeed(), state.dropoutPass()),
                values,
                optimizer);
    }

    private void restore(Objective objective) {
        try (var file = saved.tensors();
                TensorScope scope = new TensorScope()) {
            Map<String, Tensor> findings = new LinkedHashMap<>();
            for (String name : file.names()) {
                if (name.startsWith(Checkpoints.OBJECTIVE)) {
                    findings.put(name.substring(Checkpoints.OBJECTIVE.length()), file.read(name));
                }
            }
            objective.restore(findings);
        }
    }
}
