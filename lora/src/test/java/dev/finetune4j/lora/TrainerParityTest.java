package dev.finetune4j.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.BatchLoader;
import dev.finetune4j.data.Collator;
import dev.finetune4j.data.EncodedExample;
import dev.finetune4j.lora.adapter.AdapterFiles;
import dev.finetune4j.lora.adapter.PeftAdapter;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.LoraPlus;
import dev.finetune4j.lora.train.ParameterGroups;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.Trainer;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantizedLinearFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Whole trainings against those of peft, and against themselves split another way. */
class TrainerParityTest {
    private static final int ROWS = 2;
    private static final int LENGTH = 24;
    private static final Path TRAJECTORY = Fixtures.reference("trajectories/lora");
    private static final Path START = TRAJECTORY.resolve("start");

    @ParameterizedTest
    @ValueSource(strings = {"lora", "rslora", "dora"})
    void tenStepsFollowPeft(String kind) {
        Path folder = trajectory(kind);
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter adapter = load(folder.resolve("start"), base)) {
            TrainingReport report = train(base, adapter, ParameterGroups.ONE, folder, 2, 2, 5e-3);
            compareSteps(Fixtures.json(folder.resolve("golden.json")), report, 1e-4);
            try (SafetensorsFile end = SafetensorsFile.open(folder.resolve("end/adapter_model.safetensors"))) {
                assertEquals(end.tensors().keySet(), adapter.parameters().keySet());
                adapter.parameters().forEach((name, tensor) -> {
                    double error = Fixtures.relativeError(Fixtures.floats(end, name), Tensors.toFloats(tensor));
                    assertTrue(error <= 1e-3, name + ": relative error " + error);
                });
            }
        }
    }

    private static Path trajectory(String kind) {
        if (kind.equals("lora")) {
            return Fixtures.reference("trajectories/lora");
        }
        Optional<Path> folder = Fixtures.shared("fixtures/reference/trajectories/" + kind);
        assumeTrue(folder.isPresent(), "the shared fixtures folder is not beside this checkout");
        return folder.orElseThrow();
    }

    private static PeftAdapter load(Path folder, CausalLM base) {
        return AdapterFiles.load(folder, base);
    }

    @Test
    void tenStepsOfLoraPlusFollowPeft() {
        JsonNode golden = Fixtures.json(TRAJECTORY.resolve("loraplus.json"));
        double learningRate = golden.path("lr").asDouble();
        ParameterGroups groups =
                LoraPlus.withRatio(golden.path("ratio").asDouble()).groups(learningRate);
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter adapter = AdapterFiles.load(START, base)) {
            compareSteps(golden, train(base, adapter, groups, TRAJECTORY, 2, 2, learningRate), 1e-4);
        }
    }

    @Test
    void tenStepsOfQloraFollowPeftOnBitsandbytes() {
        try (CausalLM base = Fixtures.model(
                        Fixtures.reference("bnb/llama_nf4_double"), new QuantizedLinearFactory(QuantSettings.nf4()));
                PeftAdapter adapter = AdapterFiles.load(START, base)) {
            TrainingReport report = train(base, adapter, ParameterGroups.ONE, TRAJECTORY, 2, 2, 5e-3);
            compareSteps(Fixtures.json(Fixtures.reference("trajectories/qlora_nf4_double/golden.json")), report, 1e-3);
        }
    }

    @Test
    void theSplitIntoMicroBatchesChangesNothing() {
        Map<String, float[]> reference = new HashMap<>();
        List<Double> losses = new ArrayList<>();
        for (int batchSize : new int[] {8, 4, 2}) {
            try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                    PeftAdapter adapter = AdapterFiles.load(START, base)) {
                TrainingReport report =
                        train(base, adapter, ParameterGroups.ONE, TRAJECTORY, batchSize, 8 / batchSize, 5e-4);
                for (int i = 0; i < report.steps().size(); i++) {
                    double loss = report.steps().get(i).loss();
                    if (batchSize == 8) {
                        losses.add(loss);
                    }
                    assertEquals(losses.get(i), loss, 1e-6 * Math.abs(losses.get(i)), "loss of step " + (i + 1));
                }
                adapter.parameters().forEach((name, tensor) -> {
                    float[] values = Tensors.toFloats(tensor);
                    float[] expected = reference.computeIfAbsent(name, key -> values);
                    for (int i = 0; i < values.length; i++) {
                        assertEquals(expected[i], values[i], 1e-6, name + "[" + i + "] at batch size " + batchSize);
                    }
                });
            }
        }
        assertEquals(5, losses.size());
    }

    private static TrainingReport train(
            CausalLM base,
            PeftAdapter adapter,
            ParameterGroups groups,
            Path trajectory,
            int batchSize,
            int accumulation,
            double learningRate) {
        BatchLoader loader =
                new BatchLoader(examples(trajectory), batchSize, accumulation, 1, new Collator(0, 1), false);
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(1)
                .learningRate(learningRate)
                .schedule(LearningRateSchedule.cosine(), 0.2)
                .weightDecay(0.01)
                .maxGradNorm(1)
                .build();
        return new Trainer(
                        adapter.attachTo(base), adapter.parameters(), groups, loader, settings, List.of(), () -> false)
                .run();
    }

    private static List<EncodedExample> examples(Path trajectory) {
        List<EncodedExample> examples = new ArrayList<>();
        try (SafetensorsFile file = SafetensorsFile.open(trajectory.resolve("batches.safetensors"))) {
            for (int step = 0; step < 10; step++) {
                for (int micro = 0; micro < 2; micro++) {
                    String name = "step" + step + ".micro" + micro;
                    long[] ids = Fixtures.longs(file, name + ".input_ids");
                    long[] labels = Fixtures.shift(Fixtures.longs(file, name + ".labels"), ROWS, LENGTH);
                    for (int row = 0; row < ROWS; row++) {
                        examples.add(new EncodedExample(ints(ids, row), ints(labels, row)));
                    }
                }
            }
        }
        return examples;
    }

    private static int[] ints(long[] values, int row) {
        return Arrays.stream(values, row * LENGTH, (row + 1) * LENGTH)
                .mapToInt(Math::toIntExact)
                .toArray();
    }

    private static void compareSteps(JsonNode golden, TrainingReport report, double tolerance) {
        JsonNode log = golden.path("log");
        assertEquals(log.size(), report.steps().size());
        for (int i = 0; i < log.size(); i++) {
            StepReport step = report.steps().get(i);
            JsonNode expected = log.get(i);
            assertEquals(
                    expected.path("lr").asDouble(), step.learningRate(), 1e-12, "learning rate of step " + (i + 1));
            assertEquals(expected.path("loss").asDouble(), step.loss(), tolerance, "loss of step " + (i + 1));
            assertEquals(
                    expected.path("grad_norm").asDouble(), step.gradNorm(), 10 * tolerance, "norm of step " + (i + 1));
        }
    }
}
