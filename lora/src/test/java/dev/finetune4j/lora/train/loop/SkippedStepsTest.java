package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.objective.DeviceBatch;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.objective.SftObjective;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingException;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

/** Steps whose loss and gradients are no numbers. */
class SkippedStepsTest {
    private static final Path START = Fixtures.reference("trajectories/lora/start");
    private static final int SPOILED = 77;

    /** Supervised fine-tuning in which the examples that begin with a certain token have gradients and losses that are no numbers. */
    private static final class Spoiling implements Objective {
        private final SftObjective whole = new SftObjective();

        @Override
        public int terms(Batch batch) {
            return whole.terms(batch);
        }

        @Override
        public DeviceBatch toDevice(CausalLM model, Batch batch, double scale, int multiple) {
            boolean spoiled = batch.inputIds()[0] == SPOILED;
            return whole.toDevice(model, batch, spoiled ? Double.NaN : scale, multiple);
        }

        @Override
        public Tensor forwardBackward(CausalLM model, DeviceBatch batch) {
            return whole.forwardBackward(model, batch);
        }

        @Override
        public double[] evaluate(CausalLM model, Batch batch) {
            return whole.evaluate(model, batch);
        }

        @Override
        public List<String> evaluationMetrics() {
            return whole.evaluationMetrics();
        }
    }

    private static EncodedExample example(int first) {
        int[] ids = {first, 12, 13, 14, 15};
        return new EncodedExample(ids, new int[] {12, 13, 14, 15, 16});
    }

    private record Trained(TrainingReport report, Map<String, float[]> values) {}

    private static Trained train(int maxSkipped, TrainingListener listener, int... firstTokens) {
        List<EncodedExample> examples = new ArrayList<>();
        for (int first : firstTokens) {
            examples.add(example(first));
        }
        TrainingSettings settings = TrainingSettings.builder()
                .maxSteps(firstTokens.length)
                .batchSize(1)
                .learningRate(1e-2)
                .schedule(LearningRateSchedule.constant(), 0)
                .maxSkippedSteps(maxSkipped)
                .build();
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter adapter = AdapterFiles.load(START, base)) {
            BatchLoader loader = new BatchLoader(
                    examples, 1, 1, 1, new Collator(0, new Collator.Multiple(1), Collator.Layout.PADDED), false);
            TrainingReport report = new Trainer(
                            adapter.attachTo(base),
                            adapter.trainable(),
                            loader,
                            settings,
                            List.of(listener),
                            () -> false)
                    .minimizing(new Spoiling())
                    .run();
            Map<String, float[]> values = new LinkedHashMap<>();
            adapter.parameters().forEach((name, tensor) -> values.put(name, Tensors.toFloats(tensor)));
            return new Trained(report, values);
        }
    }

    @Test
    void aSkippedStepLeavesNoTrace() {
        List<TrainingReport.NonFinite> heard = new ArrayList<>();
        List<Integer> steps = new ArrayList<>();
        TrainingListener listener = new TrainingListener() {
            @Override
            public void onNonFinite(TrainingReport.NonFinite step) {
                heard.add(step);
            }

            @Override
            public void onStep(StepReport report, Control control) {
                steps.add(report.step());
            }
        };
        Trained skipping = train(2, listener, SPOILED, 5, 6, SPOILED, 7);
        Trained without = train(0, new TrainingListener() {}, 5, 6, 7);
        without.values()
                .forEach((name, values) ->
                        assertArrayEquals(values, skipping.values().get(name), name));
        assertEquals(List.of(2, 3, 5), steps);
        assertEquals(heard, skipping.report().skipped());
        assertEquals(List.of(1, 4), heard.stream().map(step -> step.step()).toList());
        assertTrue(Double.isNaN(heard.get(0).loss()));
        assertEquals(List.of(List.of(SPOILED, 12, 13, 14, 15)), heard.get(0).sequences());
        assertEquals(TrainingReport.Outcome.COMPLETED, skipping.report().outcome());
    }

    @Test
    void theNextAfterTheLimitEndsTheTraining() {
        TrainingException thrown = assertThrows(
                TrainingException.class, () -> train(1, new TrainingListener() {}, 5, SPOILED, 6, SPOILED));
        assertTrue(
                thrown.getMessage().startsWith("step 4: the loss is NaN and the gradient norm NaN, after 1 such steps"),
                thrown.getMessage());
        TrainingReport.NonFinite step = thrown.nonFinite().orElseThrow();
        assertEquals(4, step.step());
        assertEquals(List.of(List.of(SPOILED, 12, 13, 14, 15)), step.sequences());
    }

    @Test
    void noneIsSkippedUnlessAsked() {
        TrainingException thrown =
                assertThrows(TrainingException.class, () -> train(0, new TrainingListener() {}, 5, SPOILED));
        assertTrue(thrown.getMessage().startsWith("step 2: the loss is NaN"), thrown.getMessage());
        assertEquals(2, thrown.nonFinite().orElseThrow().step());
    }
}
