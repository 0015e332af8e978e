package dev.finetune4j;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.checkpoint.TrainerState;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a run came to, or has come to so far. Immutable.
 *
 * @param outcome null while it runs
 * @param steps that were done
 * @param skipped how many had no numbers
 * @param evaluations of the held-out examples
 * @param duration from the first step on
 * @param losses on the rows of the first step; null while it runs
 * @param warnings of its report
 */
record RunResult(
        TrainingReport.@Nullable Outcome outcome,
        List<StepReport> steps,
        int skipped,
        List<TrainingReport.Evaluation> evaluations,
        Duration duration,
        TrainingReport.@Nullable Losses losses,
        List<String> warnings) {
    static RunResult of(TrainingReport report) {
        return new RunResult(
                report.outcome(),
                report.steps(),
                report.skipped().size(),
                report.evaluations(),
                report.duration(),
                report.firstRows(),
                report.warnings());
    }

    /** That of a run in the middle. */
    static RunResult of(TrainerState state) {
        return new RunResult(
                null,
                state.history().steps(),
                state.history().skipped().size(),
                state.history().evaluations(),
                state.history().elapsed(),
                null,
                List.of());
    }

    /** @param device on which it was computed */
    ObjectNode json(ComputeDevice device) {
        ObjectNode node = JsonNodeFactory.instance.objectNode();
        node.put("outcome", outcome == null ? "RUNNING" : outcome.name());
        node.put("steps", steps.size());
        node.put("skipped_steps", skipped);
        if (!steps.isEmpty()) {
            StepReport last = steps.get(steps.size() - 1);
            node.put("epoch", last.epoch());
            put(node, "loss", last.loss());
            ObjectNode metrics = node.putObject("metrics");
            last.metrics().forEach((name, value) -> put(metrics, name, value));
        }
        if (losses != null) {
            put(node, "first_rows_loss_before", losses.base());
            put(node, "first_rows_loss_after", losses.tuned());
        }
        if (!evaluations.isEmpty()) {
            put(node, "eval_loss", evaluations.get(evaluations.size() - 1).loss());
        }
        long tokens =
                steps.stream().mapToLong(step -> step.throughput().tokens()).sum();
        double seconds = duration.toNanos() / 1e9;
        node.put("seconds", seconds);
        node.put("tokens", tokens);
        put(node, "tokens_per_second", seconds > 0 ? tokens / seconds : 0);
        node.put("peak_resident_bytes", TorchRuntime.peakResidentBytes());
        if (device.kind() == ComputeDevice.Kind.CUDA) {
            node.put("peak_gpu_bytes", CudaMemory.of(device).peak());
        }
        warnings.forEach(node.putArray("warnings")::add);
        return node;
    }

    /** JSON has no NaN; a number that is none is left out. */
    private static void put(ObjectNode node, String name, double value) {
        if (Double.isFinite(value)) {
            node.put(name, value);
        }
    }
}
