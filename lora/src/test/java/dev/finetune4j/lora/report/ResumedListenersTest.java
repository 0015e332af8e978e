package dev.finetune4j.lora.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * The ready-made listeners in a training that goes on from a checkpoint: what they write and when they end it is as if it had never been
 * interrupted.
 */
@Timeout(120)
class ResumedListenersTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    private Path model;
    private Path rows;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        rows = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
    }

    private FineTuner.Builder tuner(int evaluationSteps) {
        return FineTuner.builder()
                .model(model)
                .dataset(rows)
                .evaluation(Dataset.read(rows))
                .lora(l -> l.rank(4))
                .training(t -> t.maxSteps(8).batchSize(3).learningRate(1e-2).evaluationSteps(evaluationSteps))
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32);
    }

    /** Checkpoints after each second step, and none on a stop, as if the process had been killed. */
    private FineTuner.Builder saving(FineTuner.Builder tuner) {
        return tuner.checkpoints(
                folder.resolve("checkpoints"), c -> c.saveSteps(2).saveOnStop(false));
    }

    private static TrainingListener stoppingAfter(int step) {
        return new TrainingListener() {
            @Override
            public void onStep(StepReport report, Control control) {
                if (report.step() == step) {
                    control.stop();
                }
            }
        };
    }

    private static TrainingReport train(FineTuner.Builder tuner) {
        try (FineTunedModel tuned = tuner.train()) {
            return tuned.report();
        }
    }

    /** The lines of the log, without what a clock says. */
    private static List<JsonNode> log(Path out) throws IOException {
        List<JsonNode> lines = new ArrayList<>();
        for (String line : Files.readAllLines(out.resolve("trainer_log.jsonl"))) {
            lines.add(((ObjectNode) JSON.readTree(line))
                    .without(List.of("elapsed_time", "remaining_time", "throughput")));
        }
        return lines;
    }

    @Test
    void logsGoOnAtTheCheckpointAndNotWhereTheTrainingBrokeOff() throws IOException {
        Path whole = folder.resolve("whole");
        train(tuner(2).listener(TrainingListeners.trainerLog(whole)).listener(TrainingListeners.tensorBoard(whole)));

        Path out = folder.resolve("out");
        train(saving(tuner(2))
                .listener(TrainingListeners.trainerLog(out))
                .listener(TrainingListeners.tensorBoard(out))
                .listener(stoppingAfter(5)));
        assertEquals(7, log(out).size(), "five steps and two evaluations");
        TrainingReport resumed = train(saving(tuner(2))
                .resume()
                .listener(TrainingListeners.trainerLog(out))
                .listener(TrainingListeners.tensorBoard(out)));

        assertEquals(8, resumed.steps().size());
        assertEquals(12, log(out).size(), "eight steps and four evaluations");
        assertEquals(log(whole), log(out));

        List<EventFile> files = events(out);
        assertEquals(2, files.size());
        assertEquals(List.of(1, 2, 3, 4, 5), files.get(0).steps("train/loss"));
        assertEquals(List.of(5), files.get(1).starts(), "the second session begins where the checkpoint was taken");
        assertEquals(List.of(5, 6, 7, 8), files.get(1).steps("train/loss"));
        EventFile straight = events(whole).get(0);
        assertTrue(straight.starts().isEmpty());
        for (String tag : List.of("train/loss", "train/learning_rate", "eval/loss")) {
            assertEquals(straight.scalars(tag), EventFile.shown(files, tag), tag);
        }
    }

    private static List<EventFile> events(Path out) throws IOException {
        List<EventFile> read = new ArrayList<>();
        try (Stream<Path> files = Files.list(out)) {
            for (Path file : files.filter(path -> path.getFileName().toString().startsWith("events."))
                    .sorted()
                    .toList()) {
                read.add(EventFile.read(file));
            }
        }
        return read;
    }

    /** No loss falls by so much, so that the first evaluation stays the lowest, and the fourth ends the training. */
    @Test
    void earlyStoppingCountsWhatWasBefore() {
        TrainingReport straight = train(tuner(1).listener(TrainingListeners.earlyStopping(3, 1000)));
        assertEquals(4, straight.steps().size());
        train(saving(tuner(1))
                .listener(TrainingListeners.earlyStopping(3, 1000))
                .listener(stoppingAfter(3)));
        TrainingReport resumed = train(saving(tuner(1)).resume().listener(TrainingListeners.earlyStopping(3, 1000)));
        assertEquals(TrainingReport.Outcome.STOPPED, resumed.outcome());
        assertEquals(4, resumed.steps().size());
        assertEquals(losses(straight), losses(resumed));
    }

    private static Map<Integer, Double> losses(TrainingReport report) {
        Map<Integer, Double> losses = new LinkedHashMap<>();
        report.evaluations().forEach(evaluation -> losses.put(evaluation.step(), evaluation.loss()));
        return losses;
    }
}
