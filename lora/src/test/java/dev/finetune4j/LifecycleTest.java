package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.eval.EvalCase;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A training's phases, pauses and ends, and what its listeners may ask for. With {@code -Dfinetune4j.long=true} a pause is of a minute.
 */
@Timeout(120)
class LifecycleTest {
    private static final long PAUSE_MILLIS = Boolean.getBoolean("finetune4j.long") ? 60_000 : 700;

    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
    }

    private FineTuner.Builder tuner(Consumer<TrainingSettings.Builder> own) {
        return FineTuner.builder()
                .model(model)
                .dataset(data)
                .lora(l -> l.dropout(0.1))
                .training(own)
                .training(t -> t.batchSize(3).learningRate(1e-2))
                .device(ComputeDevice.cpu());
    }

    private static TrainingListener onStep(BiConsumer<StepReport, TrainingListener.Control> action) {
        return new TrainingListener() {
            @Override
            public void onStep(StepReport report, Control control) {
                action.accept(report, control);
            }
        };
    }

    private byte[] saved(FineTunedModel tuned, String name) throws IOException {
        tuned.save(folder.resolve(name));
        return weights(name);
    }

    private byte[] weights(String name) throws IOException {
        return Files.readAllBytes(folder.resolve(name).resolve("adapter_model.safetensors"));
    }

    @Test
    void aPauseChangesNothing() throws Exception {
        byte[] straight;
        try (FineTunedModel tuned = tuner(t -> t.maxSteps(6)).train()) {
            straight = saved(tuned, "straight");
        }
        CountDownLatch third = new CountDownLatch(3);
        TrainingJob[] started = new TrainingJob[1];
        CountDownLatch known = new CountDownLatch(1);
        TrainingJob job = tuner(t -> t.maxSteps(6))
                .listener(onStep((report, control) -> {
                    third.countDown();
                    if (report.step() == 3) {
                        await(known);
                        started[0].pause();
                    }
                }))
                .start();
        started[0] = job;
        known.countDown();
        assertTrue(third.await(60, TimeUnit.SECONDS));
        Thread.sleep(PAUSE_MILLIS);
        assertTrue(job.isPaused());
        assertFalse(job.isDone());
        assertEquals(3, job.progress().orElseThrow().step());
        assertEquals(TrainingListener.Phase.TRAINING, job.phase());
        job.resume();
        try (FineTunedModel tuned = job.await()) {
            assertArrayEquals(straight, saved(tuned, "paused"));
            assertEquals(TrainingReport.Outcome.COMPLETED, tuned.report().outcome());
            List<StepReport> steps = tuned.report().steps();
            Duration around =
                    steps.get(3).timing().elapsed().minus(steps.get(2).timing().elapsed());
            assertTrue(around.toMillis() < 600, "the pause is no part of the time: " + around);
        }
        assertEquals(TrainingListener.Phase.ENDED, job.phase());
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void aPausedJobCanBeStopped() {
        FineTuner tuner = tuner(t -> t.maxSteps(1_000_000)).build();
        TrainingJob job = tuner.start();
        job.pause();
        job.stop();
        try (FineTunedModel tuned = job.await()) {
            assertEquals(TrainingReport.Outcome.STOPPED, tuned.report().outcome());
        }
    }

    @Test
    void phasesFollowEachOther() {
        List<TrainingListener.Phase> phases = new CopyOnWriteArrayList<>();
        TrainingListener listener = new TrainingListener() {
            @Override
            public void onPhase(Phase phase) {
                phases.add(phase);
            }

            @Override
            public void onStep(StepReport report, Control control) {
                if (report.step() == 1) {
                    control.save(folder.resolve("first"));
                }
            }
        };
        tuner(t -> t.maxSteps(2))
                .evaluation(Dataset.read(data))
                .training(t -> t.evaluationSteps(2))
                .listener(listener)
                .train()
                .close();
        assertEquals(
                List.of(
                        TrainingListener.Phase.READING_DATA,
                        TrainingListener.Phase.LOADING_MODEL,
                        TrainingListener.Phase.TRAINING,
                        TrainingListener.Phase.SAVING,
                        TrainingListener.Phase.TRAINING,
                        TrainingListener.Phase.EVALUATING,
                        TrainingListener.Phase.TRAINING,
                        TrainingListener.Phase.CHECKING,
                        TrainingListener.Phase.ENDED),
                phases);
    }

    @Test
    void aListenerStopsSavesAndEvaluates() throws Exception {
        List<TrainingReport.Evaluation> heard = new ArrayList<>();
        TrainingListener[] listeners = {
            onStep((report, control) -> {
                if (report.step() == 2) {
                    control.save(folder.resolve("second"));
                    assertSame(control.evaluate(), control.evaluate());
                    control.stop();
                }
            }),
            new TrainingListener() {
                @Override
                public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
                    heard.add(evaluation);
                }
            }
        };
        try (FineTunedModel tuned = tuner(t -> t.maxSteps(50).evaluationSteps(50))
                .evaluation(Dataset.read(data))
                .listener(listeners[0])
                .listener(listeners[1])
                .train()) {
            TrainingReport report = tuned.report();
            assertEquals(TrainingReport.Outcome.STOPPED, report.outcome());
            assertEquals(2, report.steps().size());
            assertArrayEquals(saved(tuned, "end"), weights("second"));
            assertEquals(heard, report.evaluations());
            assertEquals(1, heard.size());
            TrainingReport.Evaluation evaluation = heard.get(0);
            assertEquals(2, evaluation.step());
            // The held-out examples are those of every step here, so the check after the last one measures the same.
            assertEquals(report.firstRows().tuned(), evaluation.loss(), 1e-5);
            assertEquals(Math.exp(evaluation.loss()), evaluation.perplexity(), 1e-9);
            assertEquals(
                    report.steps().get(0).throughput().targetTokens(),
                    evaluation.terms(),
                    "terms are the target tokens");
        }
    }

    @Test
    void evaluationsComeAtTheEndOfEachEpochAndChangeNothing() throws Exception {
        byte[] without;
        try (FineTunedModel tuned = tuner(t -> t.epochs(3)).train()) {
            without = saved(tuned, "without");
        }
        try (FineTunedModel tuned =
                tuner(t -> t.epochs(3)).evaluation(Dataset.read(data)).train()) {
            assertArrayEquals(without, saved(tuned, "with"));
            List<TrainingReport.Evaluation> evaluations = tuned.report().evaluations();
            assertEquals(
                    List.of(1, 2, 3), evaluations.stream().map(e -> e.step()).toList());
            assertTrue(evaluations.get(2).loss() < evaluations.get(0).loss(), evaluations.toString());
            evaluations.forEach(evaluation -> {
                double accuracy = evaluation.metrics().get("mean_token_accuracy");
                assertTrue(accuracy >= 0 && accuracy <= 1, evaluation.toString());
                assertEquals(Math.rint(accuracy * evaluation.terms()), accuracy * evaluation.terms(), 1e-6);
            });
        }
    }

    @Test
    void examsAreAskedOfTheModelAsItIsThen() {
        List<String> answers = new ArrayList<>();
        EvalTask suite = EvalTask.questions(
                "names",
                List.of(EvalCase.of("Who are you?", answers::add)),
                GenerationSettings.builder().maxNewTokens(8).build());
        try (FineTunedModel tuned =
                tuner(t -> t.maxSteps(12).evaluationSteps(1)).exam(suite).train()) {
            List<TrainingReport.Evaluation> evaluations = tuned.report().evaluations();
            assertEquals(12, answers.size());
            assertEquals(12, evaluations.size());
            evaluations.forEach(evaluation -> {
                assertEquals(Map.of("exam/names", 1.0), evaluation.metrics());
                assertTrue(Double.isNaN(evaluation.loss()));
                assertEquals(0, evaluation.terms());
            });
            suite.run(tuned);
            assertEquals(answers.get(12), answers.get(11), "the last exam and the tuned model");
            assertNotEquals(answers.get(0), answers.get(11), "the first exam was of another model");
        }
    }

    @Test
    void examsNeedNamesOfTheirOwn() {
        EvalTask task = EvalTask.questions("names", List.of(EvalCase.of("Who are you?", answer -> true)));
        FineTuner.Builder builder =
                tuner(t -> {}).exam(task).exam(EvalTask.generalKnowledge()).exam(task);
        SettingsException e = assertThrows(SettingsException.class, builder::build);
        assertEquals(1, e.problems().size(), e.getMessage());
        assertTrue(e.getMessage().contains("two exams are called \"names\""), e.getMessage());
    }

    @Test
    void aControlIsOfNoUseAfterItsCall() {
        TrainingListener.Control[] kept = new TrainingListener.Control[1];
        tuner(t -> t.maxSteps(1))
                .listener(onStep((report, control) -> kept[0] = control))
                .train()
                .close();
        assertThrows(IllegalStateException.class, () -> kept[0].stop());
    }

    @Test
    void whoAsksForAnEvaluationWithoutExamplesIsToldSo() {
        String[] said = new String[1];
        tuner(t -> t.maxSteps(1))
                .listener(onStep(
                        (report, control) -> said[0] = assertThrows(IllegalStateException.class, control::evaluate)
                                .getMessage()))
                .train()
                .close();
        assertTrue(said[0].contains("evaluation(…)"), said[0]);
    }

    @Test
    void aFullyTunedModelIsSavedInTheMidstOfItsTraining() {
        Path half = folder.resolve("half");
        plain().full()
                .training(t -> t.maxSteps(2).batchSize(3))
                .listener(onStep((report, control) -> {
                    if (report.step() == 1) {
                        control.save(half);
                    }
                }))
                .train()
                .close();
        LanguageModel.load(half).close();
    }

    private FineTuner.Builder plain() {
        return FineTuner.builder().model(model).dataset(data).device(ComputeDevice.cpu());
    }

    @Test
    void aTimeLimitEndsTheTraining() {
        try (FineTunedModel tuned = tuner(t -> t.maxSteps(1_000_000))
                .timeLimit(Duration.ofMillis(1500))
                .train()) {
            assertEquals(TrainingReport.Outcome.STOPPED, tuned.report().outcome());
        }
        String refusal = assertThrows(
                        SettingsException.class,
                        () -> tuner(t -> t.maxSteps(1)).timeLimit(Duration.ZERO).build())
                .getMessage();
        assertTrue(refusal.contains("timeLimit must be above 0, but is PT0S"), refusal);
    }

    @Test
    void anEndBringsFailuresToo() {
        FineTuner tuner =
                tuner(t -> t.maxSteps(1)).chatTemplate("no-such-template").build();
        TrainingJob job = tuner.start();
        assertThrows(RuntimeException.class, job::await);
        assertEquals(TrainingListener.Phase.ENDED, job.phase());
    }
}
