package dev.finetune4j.lora.report;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.MovingAverage;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a training shows: the progress line, the loss curve and the arithmetic of its settings. */
class ProgressTest {
    private static final TrainingListener.Control NO_CONTROL = new TrainingListener.Control() {
        @Override
        public void stop() {
            throw new AssertionError("only shows");
        }

        @Override
        public TrainingReport.Evaluation evaluate() {
            throw new AssertionError("only shows");
        }

        @Override
        public void checkpoint() {
            throw new AssertionError("only shows");
        }

        @Override
        public void save(Path folder) {
            throw new AssertionError("only shows");
        }
    };

    @TempDir
    private Path folder;

    private static StepReport step(int step, int total, double loss) {
        return new StepReport(
                step,
                total,
                1,
                loss,
                1,
                1e-4,
                Map.of(),
                new StepReport.Throughput(10, 20, 1234),
                new StepReport.Timing(Duration.ofSeconds(step), Duration.ofSeconds(total - step)));
    }

    private static String show(boolean inPlace) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ProgressLine line = new ProgressLine(new PrintStream(bytes, true, StandardCharsets.UTF_8), inPlace);
        line.onStart(100, 5_000);
        List<StepReport> steps = new ArrayList<>();
        for (int i = 1; i <= 100; i++) {
            steps.add(step(i, 100, 2.0 / i));
            line.onStep(steps.get(i - 1), NO_CONTROL);
        }
        line.onEnd(new TrainingReport(
                TrainingReport.Outcome.COMPLETED,
                steps,
                List.of(),
                List.of(),
                5_000,
                Duration.ofSeconds(100),
                new TrainingReport.Losses(2, 0.02),
                null,
                List.of()));
        return bytes.toString(StandardCharsets.UTF_8);
    }

    @Test
    void aTerminalGetsOneLineThatIsRewritten() {
        String shown = show(true);
        assertEquals(100, shown.chars().filter(c -> c == '\r').count());
        assertEquals(2, shown.chars().filter(c -> c == '\n').count(), "the opening line and the end of the last");
        assertTrue(shown.contains("step 50/100  loss 0.0400  lr 1.0e-04  1,234 tokens/s  ETA 0:50"), shown);
    }

    @Test
    void aFileGetsEveryTenth() {
        assertEquals(1 + 1 + 10, show(false).lines().count());
    }

    @Test
    void evaluationsGetALineOfTheirOwn() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ProgressLine line = new ProgressLine(new PrintStream(bytes, true, StandardCharsets.UTF_8), true);
        line.onStep(step(1, 2, 2.0), NO_CONTROL);
        line.onEvaluation(new TrainingReport.Evaluation(1, 2, 1, 1.0, Map.of(), 5, Duration.ZERO), NO_CONTROL);
        line.onStep(step(2, 2, 1.0), NO_CONTROL);
        line.onEvaluation(new TrainingReport.Evaluation(2, 2, 2, 0.5, Map.of(), 5, Duration.ZERO), NO_CONTROL);
        List<String> shown = bytes.toString(StandardCharsets.UTF_8).lines().toList();
        assertEquals("step 1/2  evaluation loss 1.0000  perplexity 2.72", shown.get(2));
        assertEquals("step 2/2  evaluation loss 0.5000  perplexity 1.65", shown.get(shown.size() - 1));
    }

    @Test
    void theLossCurveIsAPicture() throws IOException {
        List<StepReport> steps = new ArrayList<>();
        for (int i = 1; i <= 50; i++) {
            steps.add(step(i, 50, 3 * Math.exp(-i / 10.0) + 0.1 * Math.sin(i)));
        }
        Path file = folder.resolve("made/loss.png");
        LossCurve.writePng(file, steps);
        BufferedImage picture = ImageIO.read(file.toFile());
        assertNotNull(picture);
        assertEquals(900, picture.getWidth());
        boolean drawn = false;
        for (int x = 0; x < 900 && !drawn; x++) {
            for (int y = 0; y < 540 && !drawn; y++) {
                drawn = (picture.getRGB(x, y) & 0xffffff) == 0x195aa5;
            }
        }
        assertTrue(drawn, "the curve's colour is in the picture");
        assertThrows(IllegalArgumentException.class, () -> LossCurve.writePng(file, List.of()));
    }

    @Test
    void smoothingStartsAtTheFirstValueAndFollows() {
        assertArrayEquals(new double[] {2, 2, 2}, MovingAverage.of(2, 2, 2), 1e-12);
        double[] smoothed = MovingAverage.of(1, 0);
        assertEquals(1, smoothed[0], 1e-12);
        assertTrue(smoothed[1] > 0 && smoothed[1] < 1);
    }

    @Test
    void stepsFollowFromEpochsOrAreGiven() {
        assertEquals(30, TrainingSettings.builder().epochs(3).build().totalSteps(10));
        assertEquals(5, TrainingSettings.builder().epochs(0.5).build().totalSteps(10));
        assertEquals(7, TrainingSettings.builder().maxSteps(7).build().totalSteps(10));
        assertEquals(1, TrainingSettings.builder().build().warmupSteps(30));
        assertEquals(0, TrainingSettings.builder().build().warmupSteps(1));
        String message = assertThrows(
                        SettingsException.class,
                        () -> TrainingSettings.builder()
                                .batchSize(0)
                                .gradientAccumulation(0)
                                .maxGradNorm(-1)
                                .build())
                .getMessage();
        assertTrue(message.contains("batchSize")
                && message.contains("gradientAccumulation")
                && message.contains("maxGradNorm"));
    }
}
