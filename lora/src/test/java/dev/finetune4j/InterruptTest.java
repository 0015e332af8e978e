package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.lora.eval.EvalCase;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.report.LossCurve;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** An interrupt ends a training as cancelled, and what was trained can be saved while the flag is set. */
@Timeout(120)
class InterruptTest {
    private static final GenerationSettings SHORT =
            GenerationSettings.builder().maxNewTokens(8).build();

    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
    }

    @AfterEach
    void clearFlag() {
        Thread.interrupted();
    }

    private FineTuner.Builder tuner() {
        return tuner(t -> {});
    }

    /** @param own settings of the training, before the usual ones of this test */
    private FineTuner.Builder tuner(Consumer<TrainingSettings.Builder> own) {
        return FineTuner.builder()
                .model(model)
                .dataset(data)
                .training(own)
                .training(t -> (t.hasLength() ? t : t.maxSteps(4)).batchSize(3).learningRate(1e-2))
                .device(ComputeDevice.cpu());
    }

    private static TrainingListener interruptAt(int step) {
        return new TrainingListener() {
            @Override
            public void onStep(StepReport report, Control control) {
                if (report.step() == step) {
                    Thread.currentThread().interrupt();
                }
            }
        };
    }

    @Test
    void anInterruptedTrainingIsSavedWhileTheFlagIsSet() {
        try (FineTunedModel tuned =
                tuner().lora(l -> {}).listener(interruptAt(2)).train()) {
            assertEquals(TrainingReport.Outcome.STOPPED, tuned.report().outcome());
            assertEquals(2, tuned.report().steps().size());
            tuned.save(folder.resolve("adapter"));
            tuned.export(folder.resolve("merged"), ModelFormat.huggingFace(Precision.FP32));
            LossCurve.writePng(folder.resolve("loss.png"), tuned.report().steps());
            assertTrue(Thread.currentThread().isInterrupted(), "the interrupt flag stays set");
            // On the interrupted thread, too, what was saved is read.
            try (LanguageModel base = LanguageModel.load(model);
                    Adapter adapter = base.loadAdapter(folder.resolve("adapter"));
                    LanguageModel merged = LanguageModel.load(folder.resolve("merged"))) {
                assertTrue(Thread.interrupted(), "the interrupt flag stays set");
                String answer = tuned.chat(SHORT).send("Hello");
                assertEquals(answer, adapter.chat(SHORT).send("Hello"));
                assertEquals(answer, merged.chat(SHORT).send("Hello"));
            }
        }
        assertTrue(Files.isRegularFile(folder.resolve("loss.png")));
    }

    @Test
    void aFullyTunedModelIsSavedWhileTheFlagIsSet() {
        try (FineTunedModel tuned = tuner().full().listener(interruptAt(1)).train()) {
            tuned.export(folder.resolve("tuned"), ModelFormat.huggingFace(Precision.BF16));
            assertTrue(Thread.interrupted(), "the interrupt flag stays set");
        }
        LanguageModel.load(folder.resolve("tuned")).close();
    }

    @Test
    void aTrainingOnAnInterruptedThreadIsCancelledBeforeItsFirstStep() {
        Thread.currentThread().interrupt();
        try (FineTunedModel tuned = tuner().qlora(q -> {}).train()) {
            assertTrue(Thread.interrupted(), "the interrupt flag stays set");
            assertEquals(TrainingReport.Outcome.STOPPED, tuned.report().outcome());
            assertEquals(0, tuned.report().steps().size());
            assertEquals(
                    tuned.base().chat(SHORT).send("Hello"), tuned.chat(SHORT).send("Hello"));
        }
    }

    @Test
    void theShutdownOfAnExecutorAtAnyMomentLosesNothing() throws Exception {
        long seed = Long.getLong("finetune4j.seed", 18);
        Random random = new Random(seed);
        int tries = Boolean.getBoolean("finetune4j.long") ? 100 : 8;
        for (int i = 0; i < tries; i++) {
            int wait = random.nextInt(400);
            Path saved = folder.resolve("saved-" + i);
            ExecutorService executor = Executors.newSingleThreadExecutor();
            Future<FineTunedModel> training = executor.submit(() -> {
                FineTunedModel tuned = tuner(t -> t.maxSteps(20)).lora(l -> {}).train();
                tuned.save(saved);
                return tuned;
            });
            Thread.sleep(wait);
            executor.shutdownNow();
            assertTrue(executor.awaitTermination(60, TimeUnit.SECONDS));
            try (FineTunedModel tuned = training.get();
                    LanguageModel base = LanguageModel.load(model);
                    Adapter adapter = base.loadAdapter(saved)) {
                String answer = tuned.chat(SHORT).send("Hello");
                assertEquals(answer, adapter.chat(SHORT).send("Hello"), "seed " + seed + ", try " + i);
            }
        }
    }

    @Test
    void anInterruptedExamHasNoResult() {
        try (LanguageModel base = LanguageModel.load(model)) {
            EvalTask suite = EvalTask.questions("names", List.of(EvalCase.of("Who are you?", answer -> true)));
            Thread.currentThread().interrupt();
            String refusal = assertThrows(FineTune4jException.class, () -> suite.run(base))
                    .getMessage();
            assertTrue(refusal.contains("was interrupted before all of its 1 questions"), refusal);
            assertTrue(Thread.interrupted(), "the interrupt flag stays set");
            assertEquals(1, suite.run(base).correct());
        }
    }
}
