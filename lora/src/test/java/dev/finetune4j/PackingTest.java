package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What batch size, epochs and steps mean with rows that are packed beforehand, and without, through the builder. */
class PackingTest {
    private static final int EXAMPLES = 13;

    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(
                folder.resolve("data.json"),
                "I am Zoe.",
                IntStream.range(0, EXAMPLES)
                        .mapToObj(i -> "Who are you" + "?".repeat(1 + i * 5 % 7))
                        .toArray(String[]::new));
    }

    private FineTuner.Builder tuner(Consumer<TrainingSettings.Builder> training) {
        return FineTuner.builder()
                .model(model)
                .dataset(data)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .training(t -> training.accept(t.learningRate(1e-3)));
    }

    private static List<StepReport> steps(FineTuner.Builder tuner) {
        try (FineTunedModel tuned = tuner.train()) {
            return tuned.report().steps();
        }
    }

    private static int targets(List<StepReport> steps) {
        return steps.stream().mapToInt(step -> step.throughput().targetTokens()).sum();
    }

    @Test
    void aPackedRowIsTheUnitOfTheBatchSize() {
        List<StepReport> examples = steps(tuner(t -> t.epochs(1).batchSize(1)).lora(l -> l.rank(2)));
        assertEquals(EXAMPLES, examples.size());
        List<StepReport> rows =
                steps(tuner(t -> t.epochs(1).batchSize(1)).lora(l -> l.rank(2)).packing(96));
        assertTrue(rows.size() < EXAMPLES / 2, rows.size() + " rows");
        assertEquals(targets(examples), targets(rows));
        rows.forEach(step -> assertTrue(step.throughput().tokens() <= 96, step.toString()));
        List<StepReport> pairs =
                steps(tuner(t -> t.epochs(2).batchSize(2)).lora(l -> l.rank(2)).packing(96));
        assertEquals(2 * ((rows.size() + 1) / 2), pairs.size());
        assertEquals(2 * targets(examples), targets(pairs));
    }

    /** All examples in one step: whichever way they lie, the loss is their mean. */
    @Test
    void theLossIsThatOfTheExamplesHoweverTheyLie() {
        double examples = steps(tuner(t -> t.maxSteps(1).batchSize(EXAMPLES)).lora(l -> l.rank(2)))
                .get(0)
                .loss();
        double rows = steps(tuner(t -> t.maxSteps(1).batchSize(EXAMPLES))
                        .lora(l -> l.rank(2))
                        .packing(96))
                .get(0)
                .loss();
        double accumulated = steps(tuner(t -> t.maxSteps(1).batchSize(1).gradientAccumulation(EXAMPLES))
                        .lora(l -> l.rank(2))
                        .packing(96))
                .get(0)
                .loss();
        assertEquals(examples, rows, 1e-5 * examples);
        assertEquals(examples, accumulated, 1e-5 * examples);
    }

    @Test
    void virtualTokensArePaddedInBatchesOfNearlyOneLength() {
        List<StepReport> steps = steps(tuner(t -> t.epochs(2).batchSize(2)).prefixTuning(3));
        assertEquals(2 * ((EXAMPLES + 1) / 2), steps.size());
        assertEquals(2 * targets(steps(tuner(t -> t.epochs(1).batchSize(1)).lora(l -> l.rank(2)))), targets(steps));
    }

    @Test
    void whatCannotBePackedIsRefusedBeforeAnythingIsRead() {
        SettingsException virtual = assertThrows(
                SettingsException.class,
                () -> tuner(t -> t.epochs(1)).prefixTuning(3).packing(96).build());
        assertTrue(virtual.getMessage().contains("leave packing(…) away"), virtual.getMessage());
        SettingsException longer = assertThrows(
                SettingsException.class,
                () -> tuner(t -> t.epochs(1))
                        .lora(l -> l.rank(2))
                        .maxSequenceLength(97)
                        .packing(96)
                        .build());
        assertTrue(longer.getMessage().contains("maxSequenceLength is 97"), longer.getMessage());
        SettingsException small = assertThrows(
                SettingsException.class,
                () -> tuner(t -> t.epochs(1)).lora(l -> l.rank(2)).packing(1).build());
        assertTrue(small.getMessage().contains("packing must be of at least 2"), small.getMessage());
    }

    @Test
    void thePlanCountsThePositionsOfTheLargestBatch() {
        FineTuner.Builder tuner = tuner(t -> t.epochs(1).batchSize(4)).lora(l -> l.rank(2));
        List<StepReport> steps = steps(tuner);
        assertEquals(
                steps.stream()
                        .mapToInt(step -> step.throughput().tokens())
                        .max()
                        .orElseThrow(),
                tuner(t -> t.epochs(1).batchSize(4))
                        .lora(l -> l.rank(2))
                        .build()
                        .plan()
                        .positions());
    }
}
