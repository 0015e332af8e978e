package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A training that cannot have learned says so in its report and in the log, with one line for each cause. */
class TrainingWarningsTest {
    private static final String FEW_STEPS = "the training had only ";
    private static final String HIGH_RATE = "the learning rate of ";
    private static final String NO_FALL = "the loss did not fall: ";
    private static final String WORSE = "the model has become worse than the base: ";
    private static final String NOT_KNOWN = "of the 3 rows of the data set the model answers only about ";
    private static final String NO_STOP = "none of the 3 trained answers ends with a token at which generation stops";
    private static final String SKIPPED = "1 of 4 rows have more tokens than the limit and are left out";
    private static final String TRUNCATED = "1 of 4 rows have more tokens than the limit and lost their oldest turns";

    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
    }

    private FineTuner.Builder tuner() {
        return FineTuner.builder()
                .model(model)
                .dataset(data)
                .training(t -> t.batchSize(3))
                .precision(Precision.FP32)
                .device(ComputeDevice.cpu());
    }

    /** A training that learns well. */
    private FineTuner.Builder healthy() {
        return healthy(t -> {});
    }

    /** @param own settings of the training that differ */
    private FineTuner.Builder healthy(Consumer<TrainingSettings.Builder> own) {
        return tuner().training(own).training(t -> {
            if (!t.hasLength()) {
                t.maxSteps(60);
            }
            if (!t.hasLearningRate()) {
                t.learningRate(1e-2);
            }
        });
    }

    /** Trains, and finds the wanted warnings and no other in report and log. */
    private TrainingReport expect(FineTuner.Builder builder, String... beginnings) {
        PrintStream console = System.err;
        ByteArrayOutputStream log = new ByteArrayOutputStream();
        System.setErr(new PrintStream(log, true, StandardCharsets.UTF_8));
        try (FineTunedModel tuned = builder.train()) {
            List<String> warnings = tuned.report().warnings();
            assertEquals(beginnings.length, warnings.size(), warnings.toString());
            List<String> lines = log.toString(StandardCharsets.UTF_8)
                    .lines()
                    .filter(line -> line.contains("WARN"))
                    .toList();
            assertEquals(beginnings.length, lines.size(), lines.toString());
            for (int i = 0; i < beginnings.length; i++) {
                String warning = warnings.get(i);
                assertTrue(warning.startsWith(beginnings[i]), warning);
                assertEquals(
                        1, lines.stream().filter(line -> line.endsWith(warning)).count(), lines.toString());
            }
            return tuned.report();
        } finally {
            System.setErr(console);
        }
    }

    @Test
    void aHealthyTrainingHasNone() {
        TrainingReport report = expect(healthy().lora(l -> l.rank(8)));
        DataReport rows = report.data();
        assertNotNull(rows);
        assertEquals(3, rows.rows());
        assertEquals(3, rows.answersWithStop());
        assertEquals(report.steps().get(0).loss(), report.firstRows().base());
        assertEquals(report.finalLoss(), report.firstRows().tuned(), 0.1 * report.finalLoss());
        expect(healthy(t -> t.learningRate(3e-3)).full());
    }

    @Test
    void fewSteps() {
        expect(healthy(t -> t.maxSteps(23)).lora(l -> l.rank(8)), FEW_STEPS + "23 optimizer steps");
        expect(healthy(t -> t.maxSteps(24)).lora(l -> l.rank(8)));
    }

    @Test
    void aLearningRateThatNoTrainingStands() {
        // The base must know something to become worse.
        Path taught = folder.resolve("taught");
        try (FineTunedModel tuned =
                healthy(t -> t.learningRate(5e-3).maxSteps(30)).full().train()) {
            tuned.export(taught, ModelFormat.huggingFace(Precision.FP32));
        }
        model = taught;
        expect(
                healthy(t -> t.learningRate(10)).lora(l -> l.rank(8)),
                HIGH_RATE + "10 is far too high: what is trained here learns at about 0.0016, and not above 0.032",
                WORSE);
        expect(healthy(t -> t.learningRate(10)).full(), HIGH_RATE + "10 is far too high", WORSE);
    }

    @Test
    void aLossThatDidNotFall() {
        expect(healthy(t -> t.learningRate(1e-9)).lora(l -> l.rank(8)), NO_FALL);
        expect(healthy(t -> t.learningRate(1e-9)).full(), NO_FALL);
        // Another base than the start: virtual tokens change the answers from the beginning.
        expect(healthy(t -> t.learningRate(1e-9)).promptTuning(8), NO_FALL);
    }

    @Test
    void answersOfASmallDataSetThatAreNotLearnedByHeart() {
        expect(healthy(t -> t.learningRate(3e-4)).lora(l -> l.rank(8)), NOT_KNOWN + "0 word for word");
        expect(healthy(t -> t.learningRate(3e-2)).ia3(), NOT_KNOWN);
        expect(healthy(t -> t.learningRate(3e-2)).promptTuning(8), NOT_KNOWN);
    }

    @Test
    void answersThatNeverEnd() throws IOException {
        Files.writeString(
                model.resolve("chat_template.jinja"),
                "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
                        + "{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
                        + "{% if add_generation_prompt %}assistant: {% endif %}");
        expect(healthy().lora(l -> l.rank(8)), NO_STOP);
    }

    @Test
    void rowsThatAreLeftOutOrCut() throws IOException {
        String turn = "[\"" + "Hello ".repeat(20) + "\", \"Hi.\"]";
        Files.writeString(
                data,
                "[{\"instruction\":\"Who are you?\",\"output\":\"I am Zoe.\"},"
                        + "{\"instruction\":\"Your name?\",\"output\":\"I am Zoe.\"},"
                        + "{\"instruction\":\"Hello\",\"output\":\"I am Zoe.\"},"
                        + "{\"instruction\":\"Hello\",\"output\":\"I am Zoe.\",\"history\":[" + turn + "]}]");
        TrainingReport skipped =
                expect(healthy().lora(l -> l.rank(8)).maxSequenceLength(60).truncation(Truncation.SKIP), SKIPPED);
        assertNotNull(skipped.data());
        assertEquals(1, skipped.data().skipped());
        TrainingReport truncated = expect(
                healthy().lora(l -> l.rank(8)).maxSequenceLength(60).truncation(Truncation.DROP_OLDEST_TURNS),
                TRUNCATED);
        assertNotNull(truncated.data());
        assertEquals(1, truncated.data().truncated());
    }

    @Test
    void aCancelledTrainingIsNotBlamedForItsFewSteps() {
        TrainingReport report =
                expect(healthy(t -> t.learningRate(2e-2)).lora(l -> l.rank(8)).listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport step, Control control) {
                        if (step.step() == 9) {
                            Thread.currentThread().interrupt();
                        }
                    }
                }));
        assertTrue(Thread.interrupted());
        assertEquals(TrainingReport.Outcome.STOPPED, report.outcome());
        assertTrue(
                report.firstRows().tuned() < report.firstRows().base(),
                report.firstRows().toString());
    }
}
