package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.RankLostException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.lora.parallel.DataParallel;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Two ranks with half of the batch each train what one trains with all of it. The ranks are threads here, which
 * do not know; processes are in {@code LocalLauncherTest}.
 */
@Timeout(120)
class DataParallelTest {
    @TempDir
    private Path folder;

    /** What came of a training on one rank. */
    private record Result(TrainingReport report, Map<String, float[]> weights) {}

    private static Dataset answers(int rows) {
        return Dataset.of(IntStream.range(0, rows)
                .mapToObj(i -> SftExample.of("question " + i, "answer ".repeat(1 + i % 4) + i))
                .toList());
    }

    private static Dataset pairs(int rows) {
        return Dataset.of(IntStream.range(0, rows)
                .mapToObj(i -> PreferenceExample.of("question " + i, "good " + i, "bad ".repeat(1 + i % 3) + i))
                .toList());
    }

    private static Dataset judged(int rows) {
        return Dataset.of(IntStream.range(0, rows)
                .mapToObj(i -> KtoExample.of("question " + i, (i % 2 == 0 ? "good " : "bad ") + i, i % 2 == 0))
                .toList());
    }

    private FineTuner.Builder tuner(Dataset dataset, int batchSize, int accumulation) {
        return tuner(dataset, batchSize, accumulation, 0);
    }

    private FineTuner.Builder tuner(Dataset dataset, int batchSize, int accumulation, int rank) {
        return FineTuner.builder()
                .model(folder.resolve("model"))
                .dataset(dataset)
                .device(Fixtures.device(rank))
                .precision(Precision.FP32)
                .training(t -> t.maxSteps(5)
                        .learningRate(1e-3)
                        .schedule(LearningRateSchedule.constant(), 0)
                        .batchSize(batchSize)
                        .gradientAccumulation(accumulation));
    }

    private static Result result(FineTuner.Builder builder) {
        try (FineTunedModel tuned = builder.train()) {
            Map<String, float[]> weights = new TreeMap<>();
            tuned.adapter()
                    .orElseThrow()
                    .peft()
                    .parameters()
                    .forEach((name, tensor) -> weights.put(name, Tensors.toFloats(tensor)));
            return new Result(tuned.report(), weights);
        }
    }

    @FunctionalInterface
    private interface OnRank {
        FineTuner.Builder builder(int rank);
    }

    private static List<Future<Result>> start(int ranks, OnRank builders) throws IOException {
        int port;
        try (ServerSocket probe = new ServerSocket(0)) {
            port = probe.getLocalPort();
        }
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        List<Future<Result>> results = new ArrayList<>();
        for (int i = 0; i < ranks; i++) {
            int rank = i;
            DataParallel place = new DataParallel(rank, rank, ranks, "127.0.0.1", port, false, Duration.ofMinutes(1));
            results.add(threads.submit(() -> result(builders.builder(rank).dataParallel(place))));
        }
        threads.shutdown();
        return results;
    }

    private static List<Result> results(List<Future<Result>> futures) throws Exception {
        List<Result> results = new ArrayList<>();
        for (Future<Result> future : futures) {
            results.add(future.get(100, TimeUnit.SECONDS));
        }
        return results;
    }

    private static Arguments training(
            String name, Dataset data, int accumulation, UnaryOperator<FineTuner.Builder> with) {
        return Arguments.of(name, data, accumulation, with);
    }

    static Stream<Arguments> trainings() {
        UnaryOperator<FineTuner.Builder> lora = b -> b.lora(l -> l.rank(4));
        return Stream.of(
                training("supervised", answers(8), 1, lora),
                training("supervised, accumulated, a rank without a share", answers(9), 2, lora),
                training(
                        "packed rows",
                        answers(12),
                        1,
                        b -> b.lora(l -> l.rank(4)).packing(64)),
                training("padded", answers(9), 1, b -> b.promptTuning(4)),
                training("dpo", pairs(7), 1, b -> b.lora(l -> l.rank(4)).dpo()),
                training(
                        "dpo in packed rows, accumulated",
                        pairs(7),
                        2,
                        b -> b.lora(l -> l.rank(4)).dpo().packing(128)),
                training("orpo", pairs(7), 2, b -> b.lora(l -> l.rank(4)).orpo(0.5)),
                training(
                        "kto, a rank without a share",
                        judged(9),
                        2,
                        b -> b.lora(l -> l.rank(4)).kto(0.1)),
                training("quantized", answers(8), 1, b -> b.qlora(l -> l.rank(4))));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("trainings")
    void twoRanksTrainWhatOneDoes(String name, Dataset data, int accumulation, UnaryOperator<FineTuner.Builder> with)
            throws Exception {
        Fixtures.tinyChatModel(folder.resolve("model"));
        Result alone = result(with.apply(tuner(data, 4, accumulation).evaluation(data)));
        List<Result> ranks = results(
                start(2, rank -> with.apply(tuner(data, 2, accumulation, rank).evaluation(data))));

        for (Result rank : ranks) {
            assertSame(alone.report(), rank.report());
            assertEquals(alone.weights().keySet(), rank.weights().keySet());
            alone.weights().forEach((tensor, expected) -> {
                float[] found = rank.weights().get(tensor);
                for (int i = 0; i < expected.length; i++) {
                    assertEquals(expected[i], found[i], 1e-5, tensor + "[" + i + "]");
                }
            });
        }
    }

    private static void assertSame(TrainingReport expected, TrainingReport found) {
        assertEquals(5, expected.steps().size());
        assertEquals(expected.steps().size(), found.steps().size());
        for (int i = 0; i < expected.steps().size(); i++) {
            StepReport one = expected.steps().get(i);
            StepReport two = found.steps().get(i);
            String step = " of step " + (i + 1);
            assertEquals(one.loss(), two.loss(), 1e-6, "loss" + step);
            assertEquals(one.gradNorm(), two.gradNorm(), 1e-5, "norm" + step);
            assertEquals(one.throughput().tokens(), two.throughput().tokens(), "tokens" + step);
            assertEquals(one.throughput().targetTokens(), two.throughput().targetTokens(), "targets" + step);
            one.metrics()
                    .forEach(
                            (metric, value) -> assertEquals(value, two.metrics().get(metric), 1e-5, metric + step));
        }
        assertEquals(expected.firstRows().tuned(), found.firstRows().tuned(), 1e-6);
        assertEquals(expected.evaluations().size(), found.evaluations().size());
        for (int i = 0; i < expected.evaluations().size(); i++) {
            assertEquals(
                    expected.evaluations().get(i).loss(),
                    found.evaluations().get(i).loss(),
                    1e-6);
            assertEquals(
                    expected.evaluations().get(i).terms(),
                    found.evaluations().get(i).terms());
        }
        assertEquals(expected.warnings(), found.warnings());
    }

    @Test
    void rankZeroAloneIsHeardAndWrites() throws Exception {
        Fixtures.tinyChatModel(folder.resolve("model"));
        AtomicInteger heard = new AtomicInteger();
        List<Integer> evaluated = new ArrayList<>();
        List<Result> ranks = results(start(
                2,
                rank -> tuner(answers(8), 2, 1, rank)
                        .lora(l -> l.rank(4))
                        .evaluation(answers(3))
                        .listener(new TrainingListener() {
                            @Override
                            public void onStep(StepReport step, Control control) {
                                heard.addAndGet(1 + 100 * rank);
                                if (step.step() == 2) {
                                    control.evaluate();
                                    control.save(folder.resolve("at2"));
                                }
                                if (step.step() == 3) {
                                    control.stop();
                                }
                            }

                            @Override
                            public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
                                evaluated.add(evaluation.step());
                            }
                        })));
        for (Result rank : ranks) {
            assertEquals(3, rank.report().steps().size());
            assertEquals(TrainingReport.Outcome.STOPPED, rank.report().outcome());
            assertEquals(1, rank.report().evaluations().size());
        }
        assertEquals(3, heard.get());
        assertEquals(List.of(2), evaluated);
        assertTrue(Files.exists(folder.resolve("at2/adapter_model.safetensors")));
    }

    @Test
    void aStoppedTrainingGoesOnWithItsRanksOrAlone() throws Exception {
        Fixtures.tinyChatModel(folder.resolve("model"));
        UnaryOperator<FineTuner.Builder> lora = b -> b.lora(l -> l.rank(4).dropout(0.1));
        List<Result> whole = results(start(2, rank -> lora.apply(tuner(answers(9), 2, 1, rank))));
        TrainingListener stopping = new TrainingListener() {
            @Override
            public void onStep(StepReport step, Control control) {
                if (step.step() == 3) {
                    control.stop();
                }
            }
        };
        Path checkpoints = folder.resolve("checkpoints");
        List<Result> stopped = results(start(
                2,
                rank -> lora.apply(tuner(answers(9), 2, 1, rank))
                        .checkpoints(checkpoints)
                        .listener(stopping)));
        assertEquals(3, stopped.get(1).report().steps().size());

        List<Result> resumed = results(start(
                2, rank -> lora.apply(tuner(answers(9), 2, 1, rank)).resumeFrom(checkpoints)));
        // Bit by bit on the CPU; the kernels of a GPU do not add up in one order.
        float allowed = Fixtures.device(0).equals(ComputeDevice.cpu()) ? Float.MIN_VALUE : 1e-5f;
        for (int rank = 0; rank < 2; rank++) {
            Result expected = whole.get(rank);
            Result found = resumed.get(rank);
            expected.weights()
                    .forEach((name, values) ->
                            assertArrayEquals(values, found.weights().get(name), allowed, name));
            assertEquals(
                    expected.report().steps().get(4).loss(),
                    found.report().steps().get(4).loss(),
                    allowed);
        }
        Result alone = result(lora.apply(tuner(answers(9), 4, 1)).resumeFrom(checkpoints));
        assertEquals(5, alone.report().steps().size());
        // Other masks are drawn for other micro-batches.
        assertEquals(
                whole.get(0).report().steps().get(4).loss(),
                alone.report().steps().get(4).loss(),
                0.1);
    }

    @Test
    void otherRanksDoNotSave() throws Exception {
        Fixtures.tinyChatModel(folder.resolve("model"));
        int port;
        try (ServerSocket probe = new ServerSocket(0)) {
            port = probe.getLocalPort();
        }
        ExecutorService threads = Executors.newFixedThreadPool(2);
        List<Future<?>> done = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            DataParallel place = new DataParallel(i, i, 2, "127.0.0.1", port, false, Duration.ofMinutes(1));
            Path target = folder.resolve("saved" + i);
            done.add(threads.submit(() -> {
                try (FineTunedModel tuned = tuner(answers(4), 2, 1, place.rank())
                        .lora(l -> l.rank(2))
                        .dataParallel(place)
                        .train()) {
                    tuned.save(target);
                }
            }));
        }
        threads.shutdown();
        for (Future<?> one : done) {
            one.get(60, TimeUnit.SECONDS);
        }
        assertTrue(Files.exists(folder.resolve("saved0")));
        assertFalse(Files.exists(folder.resolve("saved1")));
    }

    @Test
    void whatOneRankFailsWithEndsTheOther() throws Exception {
        Fixtures.tinyChatModel(folder.resolve("model"));
        List<Future<Result>> ranks = start(
                2, rank -> tuner(answers(8), 2, 1, rank).lora(l -> l.rank(4)).maxSequenceLength(rank == 0 ? 64 : 4));
        ExecutionException thrown =
                assertThrows(ExecutionException.class, () -> ranks.get(0).get(60, TimeUnit.SECONDS));
        RankLostException lost = (RankLostException) thrown.getCause();
        assertEquals(1, lost.rank());
        assertTrue(lost.getMessage().contains("DatasetException"), lost.getMessage());
        thrown = assertThrows(ExecutionException.class, () -> ranks.get(1).get(60, TimeUnit.SECONDS));
        assertTrue(thrown.getCause().getClass().getSimpleName().startsWith("DatasetException"));
    }

    static Stream<Arguments> differences() {
        Difference lora = (tuner, rank) -> tuner.lora(l -> l.rank(4));
        return Stream.of(
                different("method.adapter", answers(8), (tuner, rank) -> tuner.lora(l -> l.rank(4 + rank))),
                different(
                        "objective.loss",
                        pairs(8),
                        (tuner, rank) -> lora.on(tuner, rank).dpo(d -> d.beta(0.1 + 0.1 * rank))),
                different(
                        "training.seed",
                        answers(8),
                        (tuner, rank) -> lora.on(tuner, rank).training(t -> t.seed(5 + rank))),
                different(
                        "encoding.packing",
                        answers(8),
                        (tuner, rank) -> lora.on(tuner, rank).packing(64 + rank)));
    }

    @FunctionalInterface
    private interface Difference {
        FineTuner.Builder on(FineTuner.Builder tuner, int rank);
    }

    private static Arguments different(String what, Dataset data, Difference difference) {
        return Arguments.of(what, data, difference);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("differences")
    void ranksOfAnotherTrainingAreRefusedBeforeTheModelIsLoaded(String what, Dataset data, Difference difference)
            throws Exception {
        assertRefused(what, rank -> difference.on(tuner(data, 2, 1, rank), rank));
    }

    @Test
    void ranksWithOtherDataAreRefused() throws Exception {
        assertRefused(
                "the fingerprint of the examples",
                rank -> tuner(answers(8 + rank), 2, 1, rank).lora(l -> l.rank(4)));
    }

    private void assertRefused(String what, OnRank builders) throws Exception {
        Fixtures.tinyChatModel(folder.resolve("model"));
        AtomicInteger loading = new AtomicInteger();
        TrainingListener watching = new TrainingListener() {
            @Override
            public void onPhase(Phase phase) {
                loading.addAndGet(phase == Phase.LOADING_MODEL ? 1 : 0);
            }
        };
        List<Future<Result>> ranks = start(2, rank -> builders.builder(rank).listener(watching));
        for (Future<Result> rank : ranks) {
            ExecutionException thrown = assertThrows(ExecutionException.class, () -> rank.get(60, TimeUnit.SECONDS));
            assertTrue(
                    thrown.getCause() instanceof SettingsException
                            && thrown.getCause()
                                    .getMessage()
                                    .contains("the ranks do not train the same: " + what
                                            + " is not the same on rank 1 as on rank 0"),
                    thrown.getCause().toString());
        }
        assertEquals(0, loading.get());
    }
}
