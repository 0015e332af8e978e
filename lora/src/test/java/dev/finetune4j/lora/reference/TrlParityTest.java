package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.objective.ReferenceScores;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/**
 * Trainings by TRL's own trainers, step by step: supervised, DPO and its kin, KTO, ORPO, CPO and SimPO. {@code
 * -Dfinetune4j.trl=FOLDER} follows those of another folder of the same layout, {@code -Dfinetune4j.long=true} with every block
 * recomputed as well.
 */
class TrlParityTest {
    private static final String PROPERTY = "finetune4j.trl";

    @TestFactory
    Stream<DynamicTest> everyTrainingIsFollowed() throws IOException {
        Path root = Optional.ofNullable(System.getProperty(PROPERTY))
                .map(Path::of)
                .orElseGet(() -> Needs.shared("fixtures/reference_trl"));
        List<Path> cases;
        try (Stream<Path> folders = Files.list(root)) {
            cases = folders.filter(folder -> Files.exists(folder.resolve("settings.json")))
                    .sorted()
                    .toList();
        }
        assertTrue(!cases.isEmpty(), root + " holds no training");
        List<ActivationCheckpointing> policies = Boolean.getBoolean("finetune4j.long")
                ? List.of(ActivationCheckpointing.none(), ActivationCheckpointing.all())
                : List.of(ActivationCheckpointing.none());
        return cases.stream()
                .flatMap(folder -> Stream.of(Collator.Layout.values())
                        .flatMap(layout -> policies.stream()
                                .map(policy -> DynamicTest.dynamicTest(
                                        folder.getFileName() + ", " + layout + ", " + policy,
                                        () -> follow(root, folder, layout, policy)))));
    }

    private static void follow(Path root, Path folder, Collator.Layout layout, ActivationCheckpointing policy) {
        TrlCase trl = TrlCase.read(folder);
        try (CausalLM base = Fixtures.model(root.resolve("base"), LinearFactory.dense());
                PeftAdapter adapter = AdapterFiles.load(folder.resolve("start"), base);
                PeftAdapter start = AdapterFiles.load(folder.resolve("start"), base);
                PeftAdapter end = AdapterFiles.load(folder.resolve("end"), base);
                ReferenceScores known = new ReferenceScores(trl.examples(), List.of())) {
            CausalLM reference = switch (trl.settings().path("reference").asText()) {
                case "none" -> null;
                case "adapter_disabled", "base_model" -> base;
                case "copy_of_start_adapter" -> start.attachTo(base);
                default -> throw new AssertionError(folder + ": no such reference");
            };
            ReferenceScores remembered = layout == Collator.Layout.SHARED ? known : null;
            LogProbRecorder recorder = new LogProbRecorder(trl.objective(reference, remembered));
            Objective objective = trl.method().equals("sft") ? trl.objective(null, null) : recorder;
            BatchLoader loader = new BatchLoader(
                    trl.examples(),
                    trl.microBatch(),
                    trl.accumulation(),
                    1,
                    new Collator(0, new Collator.Multiple(1), layout),
                    false);
            TrainingReport report = new Trainer(
                            adapter.attachTo(base).withActivations(policy),
                            adapter.trainable(),
                            loader,
                            trl.training(),
                            List.of(),
                            () -> false)
                    .minimizing(objective)
                    .run();
            compareSteps(trl, report, recorder);
            compareEnd(adapter.parameters(), start.parameters(), end.parameters());
        }
    }

    private static void compareSteps(TrlCase trl, TrainingReport report, LogProbRecorder recorder) {
        JsonNode log = trl.log();
        assertEquals(log.size(), report.steps().size());
        int pass = 0;
        for (int i = 0; i < log.size(); i++) {
            JsonNode expected = log.get(i);
            StepReport step = report.steps().get(i);
            String where = " of step " + (i + 1);
            double loss = expected.path("loss").asDouble();
            assertEquals(expected.path("lr").asDouble(), step.learningRate(), 1e-9, "learning rate" + where);
            for (JsonNode micro : expected.path("micro")) {
                if (!trl.method().equals("sft")) {
                    recorder.compare(pass++, micro, trl.logProbNames());
                }
            }
            assertEquals(loss, step.loss(), Math.max(1e-5, 1e-4 * Math.abs(loss)), "loss" + where);
            double norm = expected.path("grad_norm").asDouble();
            assertEquals(norm, step.gradNorm(), 1e-3 * norm, "gradient norm" + where);
            compareMetrics(expected, step, where);
        }
        assertEquals(pass, recorder.trained());
    }

    private static void compareMetrics(JsonNode expected, StepReport step, String where) {
        step.metrics().forEach((name, value) -> {
            if (name.equals("rewards/accuracies")) {
                // Rounding decides where both answers are rewarded alike.
                if (Math.abs(expected.path("rewards/margins").asDouble()) > 1e-4) {
                    assertEquals(expected.path(name).asDouble(), value, 1e-6, name + where);
                }
            } else {
                assertTrue(expected.has(name), name + where + " is not in the log");
                assertEquals(expected.path(name).asDouble(), value, 1e-3, name + where);
            }
        });
    }

    private static void compareEnd(Map<String, Tensor> trained, Map<String, Tensor> start, Map<String, Tensor> end) {
        assertEquals(end.keySet(), trained.keySet());
        double away = 0;
        double moved = 0;
        for (String name : end.keySet()) {
            float[] actual = Tensors.toFloats(trained.get(name));
            float[] from = Tensors.toFloats(start.get(name));
            float[] expected = Tensors.toFloats(end.get(name));
            for (int i = 0; i < expected.length; i++) {
                assertEquals(expected[i], actual[i], 1e-3, name + "[" + i + "] after the last step");
                away += Math.pow((double) expected[i] - actual[i], 2);
                moved += Math.pow((double) expected[i] - from[i], 2);
            }
        }
        double share = Math.sqrt(away / moved);
        assertTrue(share <= 1e-3, "the adapter ends " + share + " of its way from where TRL's does");
    }
}
