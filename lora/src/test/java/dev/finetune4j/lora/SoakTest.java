package dev.finetune4j.lora;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Long runs must not grow: native memory has owners, and they close it. */
class SoakTest {
    private static final double GROWTH = 1.05;

    @TempDir
    private Path folder;

    private FineTuner.Builder tuner(int steps) {
        Path model = folder.resolve("model");
        if (!model.toFile().exists()) {
            Fixtures.tinyChatModel(model);
            Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello", "Hi");
        }
        return FineTuner.builder()
                .model(model)
                .dataset(folder.resolve("data.json"))
                .qlora()
                .batchSize(4)
                .maxSteps(steps)
                .device(ComputeDevice.cpu());
    }

    @Test
    void fiveHundredStepsLeaveMemoryFlat() {
        List<Long> sizes = new ArrayList<>();
        tuner(600).listener(new TrainingListener() {
            @Override
            public void onStep(StepReport report) {
                if (report.step() == 100 || report.step() == 600) {
                    sizes.add(settledBytes());
                }
            }
        }).train().close();
        requireFlat(sizes.get(0), sizes.get(1), "500 steps");
    }

    @Test
    void twentyTrainingsLeaveMemoryFlat() {
        for (int i = 0; i < 5; i++) {
            tuner(3).train().close();
        }
        long before = settledBytes();
        for (int i = 0; i < 20; i++) {
            try (FineTunedModel tuned = tuner(3).train()) {
                tuned.ask("Hello");
            }
        }
        requireFlat(before, settledBytes(), "20 trainings");
    }

    private static long settledBytes() {
        // What the garbage collector alone would free is Java's business; this test is about native owners.
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
        return TorchRuntime.residentBytes();
    }

    private static void requireFlat(long before, long after, String what) {
        assertTrue(after <= before * GROWTH, what + ": resident memory went from " + before + " to " + after + " bytes");
    }
}
