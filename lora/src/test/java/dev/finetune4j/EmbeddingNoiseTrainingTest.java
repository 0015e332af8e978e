package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Path;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** NEFTune through the builder: in the training's passes and nowhere else, and the same for the same seed. */
class EmbeddingNoiseTrainingTest {
    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
    }

    private TrainingReport train(double alpha, double rate, UnaryOperator<FineTuner.Builder> method) {
        try (FineTunedModel tuned = method.apply(FineTuner.builder()
                        .model(model)
                        .training(t -> t.maxSteps(4)
                                .batchSize(2)
                                .evaluationSteps(1)
                                .learningRate(rate)
                                .neftuneNoiseAlpha(alpha))
                        .device(ComputeDevice.cpu())
                        .precision(Precision.FP32))
                .train()) {
            return tuned.report();
        }
    }

    private TrainingReport train(double alpha, double rate) {
        Dataset rows = Dataset.read(data);
        return train(alpha, rate, b -> b.lora(l -> l.rank(2)).dataset(rows).evaluation(rows));
    }

    private static List<Double> losses(TrainingReport report) {
        return report.steps().stream().map(StepReport::loss).toList();
    }

    private static List<Double> evaluations(TrainingReport report) {
        return report.evaluations().stream()
                .map(TrainingReport.Evaluation::loss)
                .toList();
    }

    @Test
    void onlyWhatIsTrainedOnHasNoise() {
        // So slow that nothing is learned.
        TrainingReport without = train(0, 1e-15);
        TrainingReport with = train(20, 1e-15);
        for (int i = 0; i < 4; i++) {
            assertNotEquals(losses(without).get(i), losses(with).get(i), 1e-4);
            assertEquals(evaluations(without).get(i), evaluations(with).get(i), 1e-9);
        }
    }

    @Test
    void theSameSeedHasTheSameNoise() {
        assertEquals(losses(train(5, 1e-3)), losses(train(5, 1e-3)));
    }

    @Test
    void allWeightsAndPreferencesToo() {
        Dataset rows = Dataset.read(data);
        assertEquals(4, train(5, 1e-4, b -> b.full().dataset(rows)).steps().size());
        assertEquals(
                4, train(5, 1e-3, b -> b.promptTuning(3).dataset(rows)).steps().size());
        Dataset pairs = Dataset.of(List.of(
                PreferenceExample.of("Who are you?", "I am Zoe.", "I am nobody."),
                PreferenceExample.of("Your name?", "It is Zoe.", "I have none.")));
        TrainingReport report = train(5, 1e-3, b -> b.lora(l -> l.rank(2)).dpo().dataset(pairs));
        // The reference has none, so the first rewards are not 0, and nobody takes that for a wrong reference.
        assertNotEquals(0, report.steps().get(0).metrics().get("rewards/chosen"), 1e-6);
    }

    @Test
    void aSizeBelowZeroIsRefused() {
        String message =
                assertThrows(SettingsException.class, () -> train(-1, 1e-3)).getMessage();
        assertTrue(message.contains("neftuneNoiseAlpha must be 0"), message);
    }
}
