package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A training that goes on from a checkpoint ends bit by bit as one that was never interrupted, or says why it cannot go on. */
@Timeout(300)
class CheckpointTest {
    private static final int STEPS = 10;

    @TempDir
    private Path folder;

    private Path model;
    private Path checkpoints;

    @BeforeEach
    void makeModel() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        checkpoints = folder.resolve("checkpoints");
    }

    private FineTuner.Builder tuner() {
        return ResumeCase.SFT.tuner(model, STEPS);
    }

    private FineTuner.Builder saving() {
        return tuner().checkpoints(checkpoints, c -> c.saveSteps(2));
    }

    /** What the training did, and the bytes of what it saved. */
    private record Result(TrainingReport report, byte[] weights) {
        List<Double> losses() {
            return report.steps().stream().map(StepReport::loss).toList();
        }

        void assertEqual(Result other) {
            assertEquals(losses(), other.losses());
            assertArrayEquals(weights, other.weights);
        }
    }

    private Result train(FineTuner.Builder builder) throws IOException {
        Path into = Files.createTempDirectory(folder, "saved");
        try (FineTunedModel tuned = builder.train()) {
            if (tuned.adapter().isPresent()) {
                tuned.save(into);
                return new Result(tuned.report(), Files.readAllBytes(into.resolve("adapter_model.safetensors")));
            }
            tuned.export(into, ModelFormat.huggingFace(Precision.FP32));
            return new Result(tuned.report(), Files.readAllBytes(into.resolve("model.safetensors")));
        }
    }

    private static TrainingListener after(int step, java.util.function.Consumer<TrainingListener.Control> action) {
        return new TrainingListener() {
            @Override
            public void onStep(StepReport report, Control control) {
                if (report.step() == step) {
                    action.accept(control);
                }
            }
        };
    }

    private List<String> names() throws IOException {
        try (Stream<Path> entries = Files.list(checkpoints)) {
            return entries.map(entry -> entry.getFileName().toString())
                    .filter(name -> !name.equals(".finetune4j.lock"))
                    .sorted()
                    .toList();
        }
    }

    private String refused(FineTuner.Builder builder) {
        return assertThrows(SettingsException.class, builder::train).getMessage();
    }

    @ParameterizedTest
    @EnumSource
    void aTrainingThatWasStoppedGoesOnBitByBit(ResumeCase training) throws IOException {
        Result whole = train(training.tuner(model, STEPS));
        Result stopped = train(training.tuner(model, STEPS)
                .checkpoints(checkpoints, c -> c.saveSteps(2))
                .listener(after(5, TrainingListener.Control::stop)));
        assertEquals(TrainingReport.Outcome.STOPPED, stopped.report().outcome());
        assertEquals(List.of("checkpoint-2", "checkpoint-4", "checkpoint-5"), names());
        Result resumed = train(training.tuner(model, STEPS)
                .checkpoints(checkpoints, c -> c.saveSteps(2))
                .resume());
        assertEquals(TrainingReport.Outcome.COMPLETED, resumed.report().outcome());
        whole.assertEqual(resumed);
        assertEquals(whole.report().firstRows(), resumed.report().firstRows());
        for (int i = 0; i < STEPS; i++) {
            assertEquals(
                    whole.report().steps().get(i).metrics(),
                    resumed.report().steps().get(i).metrics());
        }
        assertEquals(List.of("checkpoint-10", "checkpoint-6", "checkpoint-8"), names());
    }

    @Test
    void whatACheckpointHoldsIsReadElsewhereToo() throws IOException {
        train(saving().training(t -> {}));
        Path last = checkpoints.resolve("checkpoint-10");
        try (LanguageModel base =
                        LanguageModel.loader(model).precision(Precision.FP32).load();
                Adapter adapter = base.loadAdapter(last)) {
            GenerationSettings few =
                    GenerationSettings.builder().maxNewTokens(4).build();
            assertFalse(adapter.chat(few).send("Who 1?").isEmpty());
        }
        for (String file : List.of("adapter_config.json", "tokenizer.json", "run.json", "trainer_state.json")) {
            assertTrue(Files.exists(last.resolve(file)), file);
        }
        String state = Files.readString(last.resolve("trainer_state.json"));
        assertTrue(state.contains("\"global_step\" : 10") && state.contains("\"log_history\""), state);
        assertFalse(state.contains("dropout_pass"), "transformers' TrainerState refuses fields that it does not know");
    }

    /** Each file of the latest checkpoint in turn is cut, changed or lost: the one before takes its place. */
    @Test
    void aDamagedCheckpointIsNotPicked() throws IOException {
        Result whole = train(tuner());
        train(saving().listener(after(4, TrainingListener.Control::stop)));
        Path latest = checkpoints.resolve("checkpoint-4");
        List<Path> files;
        try (Stream<Path> entries = Files.list(latest)) {
            files = entries.toList();
        }
        assertTrue(files.size() > 8, files.toString());
        for (Path file : files) {
            byte[] content = Files.readAllBytes(file);
            byte[] changed = content.clone();
            changed[changed.length / 2] ^= 1;
            Files.write(file, changed);
            assertEquals(2, resumedFrom(), file + " changed");
            Files.write(file, java.util.Arrays.copyOf(content, content.length - 1));
            assertEquals(2, resumedFrom(), file + " cut");
            Files.delete(file);
            assertEquals(2, resumedFrom(), file + " lost");
            Files.write(file, content);
        }
        assertEquals(4, resumedFrom());
        Path tensors = latest.resolve("trainer_state.safetensors");
        Files.write(tensors, new byte[100]);
        String only = assertThrows(
                        ModelFileException.class,
                        () -> tuner().resumeFrom(latest).train())
                .getMessage();
        assertTrue(only.contains("checkpoint-4 is damaged: trainer_state.safetensors has 100 bytes, but had"), only);
        whole.assertEqual(train(saving().resume()));
        for (String name : names()) {
            Files.delete(checkpoints.resolve(name).resolve("run.json"));
        }
        String none = assertThrows(
                        ModelFileException.class, () -> saving().resume().train())
                .getMessage();
        assertTrue(none.contains("none of the 3 checkpoints") && none.contains("run.json is missing"), none);
    }

    /** The step from which a training goes on; it is stopped at once. */
    private int resumedFrom() {
        int[] step = {-1};
        try (FineTunedModel tuned = tuner().resumeFrom(checkpoints)
                .listener(new TrainingListener() {
                    @Override
                    public void onResume(TrainingReport.History before) {
                        step[0] = before.step();
                    }
                })
                .timeLimit(java.time.Duration.ofNanos(1))
                .train()) {
            assertEquals(TrainingReport.Outcome.STOPPED, tuned.report().outcome());
        }
        return step[0];
    }

    @Test
    void whatIsDifferentIsSaidInWords() throws IOException {
        train(saving().listener(after(4, TrainingListener.Control::stop)));
        String settings = refused(FineTuner.builder()
                .model(model)
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .dataset(ResumeCase.rows(12, "Where"))
                .lora(l -> l.rank(2).dropout(0.1))
                .training(t -> t.maxSteps(3).batchSize(2).seed(7).schedule(LearningRateSchedule.linear(), 0.1))
                .checkpoints(checkpoints)
                .resume());
        for (String said : List.of(
                "settings need a change",
                "method.adapter.rank is 2, but was 4",
                "training.schedule.type is Linear, but was Cosine",
                "training.warmupRatio is 0.1, but was 0.03",
                "training.seed is 7, but was 42",
                "batchSize times gradientAccumulation, of all processes together, is 2, but was 4",
                "the data set has 12 examples, but had 11",
                "it is at step 4, but the training has 3 steps; raise epochs or maxSteps",
                "checkpoint-4 cannot be gone on from: ")) {
            assertTrue(settings.contains(said), said + " is not in: " + settings);
        }
        assertFalse(settings.contains("schedule.cycles"), settings);
        assertTrue(refused(ResumeCase.DPO
                        .tuner(model, STEPS)
                        .checkpoints(checkpoints)
                        .resume())
                .contains("objective.loss"));
        Files.writeString(
                model.resolve("config.json"),
                Files.readString(model.resolve("config.json")).replaceFirst("\\{", "{ \"note\": 1,"));
        String other = refused(saving().resume());
        assertTrue(other.contains("is another model than the one of then"), other);
    }

    /** The adapter that a training continues is what DPO compares with: it has to be the one of then. */
    @Test
    void theStartMustBeTheOneOfThen() throws IOException {
        train(ResumeCase.CONTINUED_DPO
                .tuner(model, STEPS)
                .checkpoints(checkpoints)
                .listener(after(4, TrainingListener.Control::stop)));
        try (FineTunedModel other = ResumeCase.SFT.tuner(model, 2).train()) {
            other.save(model.resolveSibling("start"));
        }
        String refusal = refused(ResumeCase.CONTINUED_DPO
                .tuner(model, STEPS)
                .checkpoints(checkpoints)
                .resume());
        assertTrue(refusal.contains("start, has other weights than then"), refusal);
    }

    @Test
    void whatMayChangeDoes() throws IOException {
        Result whole = train(tuner());
        train(saving().listener(after(4, TrainingListener.Control::stop)));
        Result resumed =
                train(tuner().checkpoints(checkpoints, c -> c.saveSteps(5).saveTotalLimit(0))
                        .evaluation(ResumeCase.rows(2, "Held"))
                        .timeLimit(java.time.Duration.ofHours(1))
                        .listener(new TrainingListener() {})
                        .resume());
        whole.assertEqual(resumed);
        assertEquals(List.of("checkpoint-10", "checkpoint-2", "checkpoint-4", "checkpoint-5"), names());
    }

    /** What the reference said of held-out pairs is of no use to others. */
    @Test
    void otherPairsMayBeHeldOut() throws IOException {
        Dataset then = pair("I am Zoe.");
        Dataset now = pair("I was never anybody else than Zoe.");
        Result whole = train(ResumeCase.DPO.tuner(model, STEPS).evaluation(now));
        train(ResumeCase.DPO
                .tuner(model, STEPS)
                .evaluation(then)
                .checkpoints(checkpoints, c -> c.saveSteps(2))
                .listener(after(5, TrainingListener.Control::stop)));
        Result resumed = train(ResumeCase.DPO
                .tuner(model, STEPS)
                .evaluation(now)
                .checkpoints(checkpoints, c -> c.saveSteps(2))
                .resume());
        whole.assertEqual(resumed);
        assertEquals(lastEvaluation(whole).loss(), lastEvaluation(resumed).loss());
        assertEquals(lastEvaluation(whole).metrics(), lastEvaluation(resumed).metrics());
        whole.assertEqual(train(ResumeCase.DPO.tuner(model, STEPS).resumeFrom(checkpoints.resolve("checkpoint-8"))));
    }

    private static Dataset pair(String chosen) {
        return Dataset.of(List.of(PreferenceExample.of("Who is there?", chosen, "Nobody.")));
    }

    private static TrainingReport.Evaluation lastEvaluation(Result result) {
        List<TrainingReport.Evaluation> all = result.report().evaluations();
        return all.get(all.size() - 1);
    }

    @Test
    void aFinishedTrainingSaysSoAndIsExtended() throws IOException {
        Result done = train(saving());
        Result again = train(saving().resume());
        done.assertEqual(again);
        assertTrue(
                again.report().warnings().stream()
                        .anyMatch(warning -> warning.contains("at step 10 of 10") && warning.contains("raise epochs")),
                again.report().warnings().toString());
        Result longer = train(ResumeCase.SFT.tuner(model, 16));
        Result extended =
                train(ResumeCase.SFT.tuner(model, 16).checkpoints(checkpoints).resume());
        assertEquals(16, extended.report().steps().size());
        assertEquals(done.losses(), extended.losses().subList(0, 10));
        assertEquals(
                longer.report().steps().subList(10, 16).stream()
                        .map(StepReport::learningRate)
                        .toList(),
                extended.report().steps().subList(10, 16).stream()
                        .map(StepReport::learningRate)
                        .toList(),
                "the rest has the rates of a training of the new length");
    }

    @Test
    void aTrainingWithoutSchedulesEndIsExtendedBitByBit() throws IOException {
        java.util.function.IntFunction<FineTuner.Builder> constant = steps ->
                ResumeCase.SFT.tuner(model, steps).training(t -> t.schedule(LearningRateSchedule.constant(), 0));
        Result whole = train(constant.apply(16));
        train(constant.apply(STEPS).checkpoints(checkpoints));
        whole.assertEqual(train(constant.apply(16).checkpoints(checkpoints).resume()));
    }

    @Test
    void foldersOfOthersAreRefused() throws Exception {
        train(saving());
        assertTrue(refused(saving()).contains("checkpoint-10 of an earlier training; call resume()"));
        String later = refused(saving().resumeFrom(checkpoints.resolve("checkpoint-8")));
        assertTrue(later.contains("checkpoint-10, which is later than"), later);
        String missing = assertThrows(
                        ModelFileException.class,
                        () -> tuner().resumeFrom(folder.resolve("nowhere")).train())
                .getMessage();
        assertTrue(missing.contains("nowhere is not there"), missing);
        assertTrue(assertThrows(SettingsException.class, () -> tuner().resume().build())
                .getMessage()
                .contains("checkpoints(folder)"));
        assertTrue(assertThrows(
                        SettingsException.class,
                        () -> tuner().checkpoints(folder, c -> c.keepBest(true)).build())
                .getMessage()
                .contains("evaluation("));
        Path file = Files.writeString(folder.resolve("file"), "");
        String blocked = assertThrows(
                        FineTune4jException.class,
                        () -> tuner().checkpoints(file.resolve("below")).train())
                .getMessage();
        assertTrue(blocked.contains("checkpoints cannot be written there"), blocked);
    }

    @Test
    void twoTrainingsDoNotShareAFolder() throws Exception {
        CountDownLatch running = new CountDownLatch(1);
        CountDownLatch refused = new CountDownLatch(1);
        TrainingJob first = saving().listener(after(1, control -> {
                    running.countDown();
                    try {
                        refused.await();
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                }))
                .start();
        running.await();
        String second = refused(saving().resume());
        refused.countDown();
        first.await().close();
        assertTrue(second.contains("another training writes its checkpoints to"), second);
        assertEquals(3, names().size());
        train(saving().resume());
    }

    /** As a full disk does: checkpoints of some steps cannot be written. */
    @Test
    void whatCannotBeWrittenDoesNotEndTheTraining() throws IOException {
        Result whole = train(tuner());
        List<TrainingReport.Checkpoint> told = new ArrayList<>();
        Path away = folder.resolve("away");
        Result result = train(saving().listener(new TrainingListener() {
            @Override
            public void onCheckpoint(TrainingReport.Checkpoint checkpoint) {
                told.add(checkpoint);
                if (checkpoint.step() == 2) {
                    move(checkpoints, away);
                }
                if (checkpoint.step() == 6) {
                    move(away, checkpoints);
                }
            }
        }));
        whole.assertEqual(result);
        assertEquals(
                List.of(true, false, false, true, true),
                told.stream().map(TrainingReport.Checkpoint::isSaved).toList());
        assertTrue(told.get(1).problem().orElseThrow().contains("checkpoint-4 could not be written"));
        assertEquals(
                2,
                result.report().warnings().stream()
                        .filter(warning -> warning.contains("could not be written"))
                        .count());
        assertEquals(List.of("checkpoint-10", "checkpoint-2", "checkpoint-8"), names());
        whole.assertEqual(train(saving().resume()));
    }

    private static void move(Path from, Path to) {
        try {
            Files.move(from, to);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void anInterruptStopsTheTrainingWithACheckpoint() throws IOException {
        Result whole = train(tuner());
        Result stopped;
        try {
            stopped = train(
                    saving().listener(after(4, control -> Thread.currentThread().interrupt())));
        } finally {
            assertTrue(Thread.interrupted());
        }
        assertEquals(TrainingReport.Outcome.STOPPED, stopped.report().outcome());
        assertEquals(List.of("checkpoint-2", "checkpoint-4"), names());
        whole.assertEqual(train(saving().resume()));
    }

    @Test
    void listenersAskForCheckpointsAndTheBestOneStays() throws IOException {
        train(tuner().training(t -> t.evaluationSteps(1))
                .evaluation(ResumeCase.rows(2, "Held"))
                .checkpoints(
                        checkpoints, c -> c.saveSteps(100).saveTotalLimit(1).keepBest(true))
                .listener(after(3, TrainingListener.Control::checkpoint)));
        try (FineTunedModel tuned = tuner().training(t -> t.evaluationSteps(1))
                .evaluation(ResumeCase.rows(2, "Held"))
                .resumeFrom(checkpoints)
                .train()) {
            TrainingReport.Evaluation best = tuned.report().evaluations().stream()
                    .min(java.util.Comparator.comparingDouble(TrainingReport.Evaluation::loss))
                    .orElseThrow();
            assertEquals(
                    Stream.of("checkpoint-" + best.step(), "checkpoint-10")
                            .distinct()
                            .sorted()
                            .toList(),
                    names());
        }
        String none = assertThrows(IllegalStateException.class, () -> {
                    RuntimeException[] thrown = new RuntimeException[1];
                    tuner().listener(after(1, control -> {
                                try {
                                    control.checkpoint();
                                } catch (IllegalStateException e) {
                                    thrown[0] = e;
                                }
                            }))
                            .train()
                            .close();
                    throw thrown[0];
                })
                .getMessage();
        assertTrue(none.contains("checkpoints("), none);
    }

    /** A training is repeated from what lies beside what it saved, with the settings that it had. */
    @ParameterizedTest
    @EnumSource
    void aTrainingIsRepeatedFromItsRecord(ResumeCase training) throws IOException {
        Path saved = folder.resolve("first");
        try (FineTunedModel tuned =
                training.tuner(model, 4).checkpoints(checkpoints).train()) {
            if (tuned.adapter().isPresent()) {
                tuned.save(saved);
            } else {
                saved = checkpoints.resolve("checkpoint-4");
            }
        }
        Result whole = train(training.tuner(model, 4));
        Result repeated = train(
                FineTuner.builder().model(model).dataset(training.dataset()).repeating(saved));
        whole.assertEqual(repeated);
        Path record = saved;
        String other = refused(FineTuner.builder()
                .model(model)
                .dataset(training.dataset().limit(5))
                .repeating(record));
        assertTrue(other.contains("cannot be repeated: the data set has 5 examples, but had 11"), other);
    }
}
