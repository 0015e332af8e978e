package dev.finetune4j.examples.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The losses of a training, read from the {@code trainer_log.jsonl} that it has left, for the curve in a report. Stateless. */
final class RecordedTraining {
    private static final String LOG = "trainer_log.jsonl";

    private RecordedTraining() {}

    /**
     * The losses that were logged.
     *
     * @param folder what was trained
     * @return empty when there is no log in it, or none of its lines has a loss
     * @throws FineTune4jException when a line is no JSON
     */
    static Optional<TrainingReport> of(Path folder) {
        Path file = folder.resolve(LOG);
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        List<StepReport> steps = new ArrayList<>();
        List<TrainingReport.Evaluation> evaluations = new ArrayList<>();
        int number = 0;
        try {
            for (String line : Files.readAllLines(file)) {
                number++;
                JsonNode node = new ObjectMapper().readTree(line);
                if (node.has("loss")) {
                    steps.add(step(node));
                }
                if (node.has("eval_loss")) {
                    evaluations.add(evaluation(node));
                }
            }
        } catch (JsonProcessingException e) {
            throw new FineTune4jException(
                    file + ", line " + number + " is no JSON; mend it, or move the file away to do without the curve",
                    e);
        } catch (IOException e) {
            throw new FineTune4jException(file + " cannot be read: " + e, e);
        }
        return steps.isEmpty() ? Optional.empty() : Optional.of(report(steps, evaluations));
    }

    private static StepReport step(JsonNode line) {
        return new StepReport(
                line.path("current_steps").asInt(),
                line.path("total_steps").asInt(),
                line.path("epoch").asDouble(),
                line.path("loss").asDouble(),
                Double.NaN,
                line.path("lr").asDouble(),
                Map.of(),
                new StepReport.Throughput(0, 0, 0),
                new StepReport.Timing(Duration.ZERO, Duration.ZERO));
    }

    private static TrainingReport.Evaluation evaluation(JsonNode line) {
        return new TrainingReport.Evaluation(
                line.path("current_steps").asInt(),
                line.path("total_steps").asInt(),
                line.path("epoch").asDouble(),
                line.path("eval_loss").asDouble(),
                Map.of(),
                0,
                Duration.ZERO);
    }

    private static TrainingReport report(List<StepReport> steps, List<TrainingReport.Evaluation> evaluations) {
        StepReport last = steps.get(steps.size() - 1);
        return new TrainingReport(
                last.step() < last.totalSteps() ? TrainingReport.Outcome.STOPPED : TrainingReport.Outcome.COMPLETED,
                steps,
                List.of(),
                evaluations,
                0,
                Duration.ZERO,
                new TrainingReport.Losses(Double.NaN, Double.NaN),
                null,
                List.of());
    }
}
