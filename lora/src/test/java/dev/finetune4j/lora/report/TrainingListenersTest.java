package dev.finetune4j.lora.report;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What the ready-made listeners write, and when they end a training. */
@Timeout(120)
class TrainingListenersTest {
    @TempDir
    private Path folder;

    /** A control that takes down what it is asked for. */
    private static final class Asked implements TrainingListener.Control {
        private int stops;
        private final List<Path> saved = new ArrayList<>();

        @Override
        public void stop() {
            stops++;
        }

        @Override
        public TrainingReport.Evaluation evaluate() {
            throw new AssertionError("nobody asks");
        }

        @Override
        public void save(Path to) {
            saved.add(to);
        }

        @Override
        public void checkpoint() {
            throw new AssertionError("nobody asks");
        }
    }

    private final Asked control = new Asked();

    private static StepReport step(
            int step, double[] numbers, double epoch, double speed, Map<String, Double> metrics, Duration elapsed) {
        return new StepReport(
                step,
                300,
                epoch,
                numbers[0],
                numbers[1],
                numbers[2],
                metrics,
                new StepReport.Throughput(10, 20, speed),
                new StepReport.Timing(elapsed, Duration.ofSeconds(3723)));
    }

    private static StepReport first() {
        return step(
                1,
                new double[] {2.5, 0.75, 0},
                0.5,
                1234,
                Map.of("rewards/margins", -0.125, "rewards/accuracies", 0.25),
                Duration.ofSeconds(2));
    }

    private static StepReport last() {
        return step(
                300,
                new double[] {0.1, 1e-3, 2e-4},
                150,
                1e6,
                Map.of(),
                Duration.ofHours(49).plusMillis(65_900));
    }

    private static TrainingReport.Evaluation judged() {
        return new TrainingReport.Evaluation(
                300, 300, 150, 0.5, Map.of("rewards/accuracies", 0.75), 4, Duration.ofMillis(1));
    }

    private static TrainingReport.Evaluation evaluation(double loss) {
        return new TrainingReport.Evaluation(300, 300, 150, loss, Map.of(), 7, Duration.ofMillis(1));
    }

    /** The expected bytes were written by the tensorboard package, from messages of its own with the same values. */
    @Test
    void eventFilesAreThoseOfTensorBoard() throws IOException {
        Clock clock = Clock.fixed(Instant.ofEpochSecond(1_700_000_000L, 500_000_000), ZoneOffset.UTC);
        for (int i = 0; i < 2; i++) {
            TensorBoardLog log = new TensorBoardLog(folder.resolve("runs/a"), clock);
            log.onStart(300, 5);
            log.onStep(first(), control);
            log.onStep(last(), control);
            log.onEvaluation(evaluation(0.3), control);
        }
        try (Stream<Path> files = Files.list(folder.resolve("runs/a"))) {
            List<Path> found = files.sorted().toList();
            assertEquals(2, found.size(), "each training has a file of its own");
            for (Path file : found) {
                assertTrue(file.getFileName().toString().startsWith("events.out.tfevents.1700000000."));
                assertArrayEquals(
                        Files.readAllBytes(TestData.resource("train/events.tfevents")), Files.readAllBytes(file));
            }
        }
    }

    @Test
    void theLogHasTheFieldsOfLlamaFactoryAndMetricsByTrlsNames() throws IOException {
        Path file = Files.writeString(folder.resolve("trainer_log.jsonl"), "of an earlier training\n");
        TrainingListener log = TrainingListeners.trainerLog(folder);
        log.onStart(300, 5);
        log.onStep(first(), control);
        log.onStep(last(), control);
        log.onEvaluation(evaluation(0.3), control);
        log.onEvaluation(evaluation(Double.NaN), control);
        log.onEvaluation(judged(), control);
        assertEquals("""
                {"current_steps":1,"total_steps":300,"loss":2.5,"accuracy":0.25,"rewards/accuracies":0.25,\
                "rewards/margins":-0.125,"lr":0.0,"epoch":0.5,"percentage":0.33,\
                "elapsed_time":"0:00:02","remaining_time":"1:02:03","throughput":10.0,"total_tokens":20}
                {"current_steps":300,"total_steps":300,"loss":0.1,"lr":2.0E-4,"epoch":150.0,"percentage":100.0,\
                "elapsed_time":"2 days, 1:01:05","remaining_time":"1:02:03","throughput":0.0,"total_tokens":40}
                {"current_steps":300,"total_steps":300,"eval_loss":0.3,"epoch":150.0,"percentage":100.0,\
                "elapsed_time":"2 days, 1:01:05","remaining_time":"1:02:03","throughput":0.0,"total_tokens":40}
                {"current_steps":300,"total_steps":300,"epoch":150.0,"percentage":100.0,\
                "elapsed_time":"2 days, 1:01:05","remaining_time":"1:02:03","throughput":0.0,"total_tokens":40}
                {"current_steps":300,"total_steps":300,"eval_loss":0.5,"eval_rewards/accuracies":0.75,"epoch":150.0,\
                "percentage":100.0,"elapsed_time":"2 days, 1:01:05","remaining_time":"1:02:03","throughput":0.0,\
                "total_tokens":40}
                """, Files.readString(file));
    }

    @Test
    void earlyStoppingWaitsForItsPatience() {
        TrainingListener rule = TrainingListeners.earlyStopping(2, 0.1);
        for (double loss : new double[] {2, 1.95, 1.8, Double.NaN}) {
            rule.onEvaluation(evaluation(loss), control);
        }
        assertEquals(0, control.stops);
        rule.onEvaluation(evaluation(1.75), control);
        assertEquals(1, control.stops);
        assertThrows(IllegalArgumentException.class, () -> TrainingListeners.earlyStopping(0, 0));
        assertThrows(IllegalArgumentException.class, () -> TrainingListeners.earlyStopping(1, Double.NaN));
    }

    @Test
    void theBestStateIsKept() {
        Path best = folder.resolve("best");
        TrainingListener rule = TrainingListeners.keepBest(best);
        for (double loss : new double[] {2, 2, 1, Double.NaN, 1.5}) {
            rule.onEvaluation(evaluation(loss), control);
        }
        assertEquals(List.of(best, best), control.saved);
    }

    @Test
    void theBestStateOfBeforeIsNotReplacedByAWorseOne() {
        Path best = folder.resolve("best");
        TrainingListener rule = TrainingListeners.keepBest(best);
        rule.onResume(new TrainingReport.History(
                2, List.of(), List.of(), List.of(evaluation(1), evaluation(2)), Duration.ZERO));
        rule.onEvaluation(evaluation(1.5), control);
        assertEquals(List.of(), control.saved);
        rule.onEvaluation(evaluation(0.5), control);
        assertEquals(List.of(best), control.saved);
    }

    @Test
    void aTrainingWritesAllOfThem() throws IOException {
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        Path rows = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
        Path out = folder.resolve("out");
        Path recorded = folder.resolve("training.jfr");
        try (Recording recording = new Recording()) {
            recording.start();
            try (FineTunedModel tuned = FineTuner.builder()
                    .model(model)
                    .dataset(rows)
                    .evaluation(Dataset.read(rows))
                    .lora(l -> l.rank(4))
                    .training(t -> t.maxSteps(4).batchSize(3).learningRate(1e-2).evaluationSteps(2))
                    .device(ComputeDevice.cpu())
                    .listener(TrainingListeners.trainerLog(out))
                    .listener(TrainingListeners.tensorBoard(out.resolve("runs")))
                    .listener(TrainingListeners.lossCurves(out))
                    .listener(TrainingListeners.flightRecorder())
                    .listener(TrainingListeners.earlyStopping(3, 0))
                    .listener(TrainingListeners.keepBest(out.resolve("best")))
                    .train()) {
                assertEquals(4, tuned.report().steps().size());
            }
            recording.stop();
            recording.dump(recorded);
        }
        assertEquals(6, Files.readAllLines(out.resolve("trainer_log.jsonl")).size());
        JsonNode line = new ObjectMapper()
                .readTree(Files.readAllLines(out.resolve("trainer_log.jsonl")).get(5));
        assertTrue(line.path("eval_loss").asDouble() > 0, line.toString());
        assertTrue(Files.exists(out.resolve("best/adapter_model.safetensors")));
        assertEquals(
                540, ImageIO.read(out.resolve("training_loss.png").toFile()).getHeight());
        assertEquals(
                540,
                ImageIO.read(out.resolve("training_eval_loss.png").toFile()).getHeight());
        List<RecordedEvent> events = RecordingFile.readAllEvents(recorded).stream()
                .filter(event -> event.getEventType().getName().startsWith("dev.finetune4j."))
                .toList();
        assertEquals(6, events.size());
        assertEquals(
                line.path("eval_loss").asDouble(),
                events.stream()
                        .filter(event -> event.getEventType().getName().endsWith("Evaluation"))
                        .reduce((a, b) -> b)
                        .orElseThrow()
                        .getDouble("loss"));
    }
}
