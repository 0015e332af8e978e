package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Long runs must not grow: native memory has owners, and they close it. */
@Tag("slow")
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
                .training(t -> t.batchSize(4).maxSteps(steps))
                .device(ComputeDevice.cpu());
    }

    @Test
    void fiveHundredStepsLeaveMemoryFlat() {
        List<Long> sizes = new ArrayList<>();
        tuner(600)
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        if (report.step() >= 100 && report.step() % 10 == 0) {
                            sizes.add(settledBytes());
                        }
                    }
                })
                .train()
                .close();
        requireFlat(sizes, "steps 100 to 600");
    }

    /** 60 trainings and 2,000 questions where the long counts are asked for. */
    @Test
    void trainingsAndQuestionsLeaveMemoryFlat() {
        boolean all = Boolean.getBoolean("finetune4j.long");
        int trainings = all ? 60 : 30;
        int questions = all ? 34 : 2;
        List<Long> sizes = new ArrayList<>();
        for (int i = 0; i < trainings; i++) {
            try (FineTunedModel tuned = tuner(3).train()) {
                for (int question = 0; question < questions; question++) {
                    try (ChatSession session = tuned.chat(
                            GenerationSettings.builder().maxNewTokens(32).build())) {
                        session.send("Hello " + question);
                    }
                }
            }
            if (i >= 10) {
                sizes.add(settledBytes());
            }
        }
        requireFlat(sizes, trainings + " trainings with " + questions + " questions each");
    }

    private static long settledBytes() {
        System.gc(); // what the garbage collector frees is Java's business; this test is about native owners
        return TorchRuntime.residentBytes();
    }

    /** Compares the lowest sizes of both halves: the compiler threads of the JVM borrow memory and give it back. */
    private static void requireFlat(List<Long> sizes, String what) {
        int half = sizes.size() / 2;
        long first = Collections.min(sizes.subList(0, half));
        long second = Collections.min(sizes.subList(half, sizes.size()));
        assertTrue(
                second <= first * GROWTH, what + ": resident memory grew from " + first + " to " + second + " bytes");
        System.getLogger("soak").log(System.Logger.Level.INFO, what + ": " + first + " -> " + second + " bytes");
    }
}
