package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingException;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** No step follows the last update and finds out what it did; it is checked all the same. */
class LastUpdateTest {
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
                .precision(Precision.FP32)
                .device(ComputeDevice.cpu())
                .training(t -> t.maxGradNorm(0));
    }

    /** The first makes infinite weights, the second finite ones whose products are infinite. */
    @ParameterizedTest
    @ValueSource(doubles = {1e38, 1e30})
    void oneStepThatSpoilsTheModelFails(double rate) {
        for (FineTuner.Builder builder : new FineTuner.Builder[] {tuner().lora(l -> l.rank(4)), tuner().full()}) {
            String message = assertThrows(
                            TrainingException.class,
                            () -> builder.training(t -> t.learningRate(rate).maxSteps(1))
                                    .train()
                                    .close())
                    .getMessage();
            assertTrue(message.startsWith("step 1, the last: "), message);
            assertTrue(message.contains("lower the learning rate"), message);
        }
    }

    @Test
    void theLastOfSeveralStepsIsCheckedWhenOnlyItSpoils() {
        // The rate is 0 in the first step and the peak in the second.
        String message = assertThrows(
                        TrainingException.class,
                        () -> tuner().lora(l -> l.rank(4))
                                .training(t -> t.learningRate(1e38)
                                        .schedule(LearningRateSchedule.constantWithWarmup(), 0.5)
                                        .maxSteps(2))
                                .train()
                                .close())
                .getMessage();
        assertTrue(message.startsWith("step 2, the last: "), message);
    }

    @Test
    void aCancelledTrainingIsCheckedToo() {
        assertThrows(
                TrainingException.class,
                () -> tuner().lora(l -> l.rank(4))
                        .training(t -> t.learningRate(1e38)
                                .schedule(LearningRateSchedule.constant(), 0)
                                .maxSteps(100))
                        .listener(new TrainingListener() {
                            @Override
                            public void onStep(StepReport report, Control control) {
                                Thread.currentThread().interrupt();
                            }
                        })
                        .train()
                        .close());
        assertTrue(Thread.interrupted(), "the interrupt flag stays set");
    }

    @Test
    void nothingIsSavedOfIt() {
        Path saved = folder.resolve("adapter");
        assertThrows(TrainingException.class, () -> {
            try (FineTunedModel tuned = tuner().lora(l -> l.rank(4))
                    .training(t -> t.learningRate(1e38).maxSteps(1))
                    .train()) {
                tuned.save(saved);
            }
        });
        assertFalse(Files.exists(saved));
    }

    @Test
    void aGoodLastStepPasses() {
        try (FineTunedModel tuned = tuner().lora(l -> l.rank(4))
                .training(t -> t.learningRate(1e-3).maxSteps(1))
                .train()) {
            assertEquals(TrainingReport.Outcome.COMPLETED, tuned.report().outcome());
        }
    }
}
