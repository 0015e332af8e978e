package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.collective.Membership;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/**
 * The trainings of {@link TrlParityTest} on several ranks, which share each of their micro-batches, or each two of them where they are
 * of one row: two ranks, and three where the micro-batches are of three rows.
 */
@Tag("slow")
class TrlRanksTest {
    /** Without {@code -Dfinetune4j.long=true}. */
    private static final List<String> SAMPLE = List.of("kto_mixed_weighted", "dpo_uneven_accumulation");

    @TestFactory
    Stream<DynamicTest> everyTrainingIsFollowed() throws IOException {
        Path root = Needs.shared("fixtures/reference_trl");
        List<Path> cases;
        try (Stream<Path> folders = Files.list(root)) {
            cases = folders.filter(folder -> Files.exists(folder.resolve("settings.json")))
                    .filter(folder -> !averagesTokens(TrlCase.read(folder)))
                    .sorted()
                    .toList();
        }
        assertTrue(cases.size() > 10, cases.toString());
        boolean all = Boolean.getBoolean("finetune4j.long");
        return cases.stream()
                .filter(folder -> all || SAMPLE.contains(folder.getFileName().toString()))
                .flatMap(folder -> Stream.of(Collator.Layout.values())
                        .map(layout -> DynamicTest.dynamicTest(
                                folder.getFileName() + ", " + layout, () -> follow(root, folder, layout))));
    }

    /** Whether a micro-batch's chosen tokens are averaged, which changes with the number of ranks, in TRL too. */
    private static boolean averagesTokens(TrlCase trl) {
        JsonNode settings = trl.settings().path("trl");
        return trl.method().equals("orpo")
                || (trl.method().equals("cpo") && settings.path("cpo_alpha").asDouble(1) != 0)
                || settings.path("loss_type").size() > 1;
    }

    /** How the ranks share a step. */
    private record Split(int ranks, int microBatch, int accumulation) {
        static Split of(TrlCase trl) {
            int rows = trl.microBatch();
            if (rows == 1) {
                return new Split(2, 1, trl.accumulation() / 2);
            }
            int ranks = rows % 2 == 0 ? 2 : rows;
            return new Split(ranks, rows / ranks, trl.accumulation());
        }
    }

    private static void follow(Path root, Path folder, Collator.Layout layout) throws Exception {
        TrlCase trl = TrlCase.read(folder);
        Split split = Split.of(trl);
        int port;
        try (ServerSocket probe = new ServerSocket(0)) {
            port = probe.getLocalPort();
        }
        ExecutorService threads = Executors.newFixedThreadPool(split.ranks());
        List<Future<?>> results = new ArrayList<>();
        for (int i = 0; i < split.ranks(); i++) {
            Membership one = new Membership(i, split.ranks(), "127.0.0.1", port, false, Duration.ofMinutes(1));
            results.add(threads.submit(() -> {
                try (Communicator ranks = Communicator.join(one, ComputeDevice.cpu())) {
                    train(root, trl, layout, split, ranks);
                }
            }));
        }
        threads.shutdown();
        for (Future<?> result : results) {
            result.get(2, TimeUnit.MINUTES);
        }
    }

    private static void train(Path root, TrlCase trl, Collator.Layout layout, Split split, Communicator ranks) {
        Path folder = trl.folder();
        try (CausalLM base = Fixtures.model(root.resolve("base"), LinearFactory.dense());
                PeftAdapter adapter = AdapterFiles.load(folder.resolve("start"), base);
                PeftAdapter start = AdapterFiles.load(folder.resolve("start"), base);
                PeftAdapter end = AdapterFiles.load(folder.resolve("end"), base)) {
            CausalLM reference = switch (trl.settings().path("reference").asText()) {
                case "none" -> null;
                case "copy_of_start_adapter" -> start.attachTo(base);
                default -> base;
            };
            BatchLoader loader = new BatchLoader(
                            trl.examples(),
                            split.microBatch(),
                            split.accumulation(),
                            1,
                            new Collator(0, new Collator.Multiple(1), layout),
                            false)
                    .ofRank(ranks.rank(), ranks.size());
            TrainingReport report = new Trainer(
                            adapter.attachTo(base), adapter.trainable(), loader, trl.training(), List.of(), () -> false)
                    .minimizing(trl.objective(reference, ranks, null))
                    .among(ranks)
                    .run();
            compareSteps(trl, report);
            end.parameters()
                    .forEach((name, expected) ->
                            compare(name, expected, adapter.parameters().get(name)));
        }
    }

    private static void compareSteps(TrlCase trl, TrainingReport report) {
        JsonNode log = trl.log();
        assertEquals(log.size(), report.steps().size());
        for (int i = 0; i < log.size(); i++) {
            JsonNode expected = log.get(i);
            StepReport step = report.steps().get(i);
            String where = " of step " + (i + 1);
            double loss = expected.path("loss").asDouble();
            double norm = expected.path("grad_norm").asDouble();
            assertEquals(loss, step.loss(), Math.max(1e-5, 1e-4 * Math.abs(loss)), "loss" + where);
            assertEquals(norm, step.gradNorm(), 1e-3 * norm, "gradient norm" + where);
            if (expected.has("kl")) {
                assertEquals(expected.path("kl").asDouble(), step.metrics().get("kl"), 1e-3, "kl" + where);
            }
        }
    }

    private static void compare(String name, Tensor expected, Tensor actual) {
        float[] wanted = Tensors.toFloats(expected);
        float[] found = Tensors.toFloats(actual);
        for (int i = 0; i < wanted.length; i++) {
            assertEquals(wanted[i], found[i], 1e-3, name + "[" + i + "] after the last step");
        }
    }
}
