package dev.finetune4j.examples.task;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** A line of the log is the mean over its steps, also over those before a checkpoint that a training went on from. */
class StepLogTest {
    private static final TrainingListener.Control NONE = new TrainingListener.Control() {
        @Override
        public void stop() {
            throw new UnsupportedOperationException();
        }

        @Override
        public TrainingReport.Evaluation evaluate() {
            throw new UnsupportedOperationException();
        }

        @Override
        public void save(Path folder) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void checkpoint() {
            throw new UnsupportedOperationException();
        }
    };

    private final List<String> lines = new ArrayList<>();
    private final TrainingListener log = new TrainingListener() {
        @Override
        public void onStep(StepReport report, Control control) {
            lines.add(line(report));
        }

        @Override
        public void onResume(TrainingReport.History before) {
            before.steps().forEach(step -> lines.add(line(step)));
        }
    };

    private static String line(StepReport step) {
        return step.step() + ": " + step.loss() + " " + step.metrics() + " "
                + step.throughput().tokens() + " at " + step.throughput().tokensPerSecond();
    }

    private static StepReport step(int step) {
        return new StepReport(
                step,
                7,
                step / 3.5,
                step,
                1,
                0.1,
                Map.of("m", 2.0 * step),
                new StepReport.Throughput(5, 10, 128),
                new StepReport.Timing(Duration.ZERO, Duration.ZERO));
    }

    private void train(StepLog steps, int from) {
        IntStream.rangeClosed(from, 7).forEach(number -> steps.onStep(step(number), NONE));
    }

    @Test
    void eachSoManyStepsAndTheLast() {
        train(new StepLog(log, 3, false), 1);
        List<String> expected =
                List.of("3: 2.0 {m=4.0} 30 at 128.0", "6: 5.0 {m=10.0} 30 at 128.0", "7: 7.0 {m=14.0} 10 at 128.0");
        assertEquals(expected, lines);
        lines.clear();
        StepLog resumed = new StepLog(log, 3, false);
        List<StepReport> before =
                IntStream.rangeClosed(1, 5).mapToObj(StepLogTest::step).toList();
        resumed.onResume(new TrainingReport.History(5, before, List.of(), List.of(), Duration.ZERO));
        train(resumed, 6);
        assertEquals(expected, lines, "as if it had not been stopped after step 5");
    }

    @Test
    void eachEpochOrTheFirstTooWhereAskedFor() {
        train(new StepLog(log, 0, false), 1);
        assertEquals(
                List.of("4", "7"),
                lines.stream().map(line -> line.substring(0, 1)).toList());
        lines.clear();
        train(new StepLog(log, 5, true), 1);
        assertEquals(
                List.of("1", "5", "7"),
                lines.stream().map(line -> line.substring(0, 1)).toList());
    }
}
