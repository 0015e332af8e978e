package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.reference.TrajectoryBatches;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.LoraPlus;
import dev.finetune4j.lora.train.loop.ParameterGroups;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Whole trainings with LoRA+ against those of peft, and with LoRA against themselves split another way. */
class TrainerParityTest {
    private static final Path START = Fixtures.reference("trajectories/lora/start");
    private static final TrajectoryBatches BATCHES =
            TrajectoryBatches.read(Fixtures.reference("trajectories/lora/batches.safetensors"));

    @Test
    void tenStepsOfLoraPlusFollowPeft() {
        JsonNode golden = TestData.json(TestData.resource("train/loraplus_trajectory.json"));
        double learningRate = golden.path("lr").asDouble();
        ParameterGroups groups =
                ParameterGroups.of(LoraPlus.withRatio(golden.path("ratio").asDouble()), learningRate);
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter adapter = AdapterFiles.load(START, base)) {
            compareSteps(golden, train(base, adapter, groups, BATCHES.loader(), learningRate), 1e-4);
        }
    }

    @Test
    void theSplitIntoMicroBatchesChangesNothing() {
        Map<String, float[]> reference = new HashMap<>();
        List<Double> losses = new ArrayList<>();
        for (int batchSize : new int[] {8, 4, 2}) {
            try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                    PeftAdapter adapter = AdapterFiles.load(START, base)) {
                BatchLoader loader = BATCHES.loader(batchSize, 8 / batchSize);
                TrainingReport report = train(base, adapter, ParameterGroups.ONE, loader, 5e-4);
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
            CausalLM base, PeftAdapter adapter, ParameterGroups groups, BatchLoader loader, double learningRate) {
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(1)
                .learningRate(learningRate)
                .schedule(LearningRateSchedule.cosine(), 0.2)
                .weightDecay(0.01)
                .maxGradNorm(1)
                .build();
        return new Trainer(
                        adapter.attachTo(base), adapter.trainable(), groups, loader, settings, List.of(), () -> false)
                .run();
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
