package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.Collator.Layout;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.data.batch.OptimizerBatch;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.TensorData;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** An answer with the loss weight 2 counts as one that stands there twice, and weights of ½ and 1 count as 1 and 2 do. */
class WeightedLossTest {
    private static final int VOCABULARY = 256;

    private static EncodedExample example(SplittableRandom random, int length, float weight) {
        int[] ids = random.ints(length, 0, VOCABULARY).toArray();
        int[] labels = new int[length];
        for (int i = 0; i < length; i++) {
            labels[i] = i % 3 == 0 || i + 1 == length ? Labels.IGNORE : ids[i + 1];
        }
        float[] weights = new float[length];
        Arrays.fill(weights, weight);
        float[] own = weight == 1 ? null : weights;
        return new EncodedExample(List.of(new EncodedSequence(ids, labels, own, EncodedSequence.Kind.TARGET)));
    }

    /** Each step has two examples, of which the second counts so many times as much as the first. */
    private static List<EncodedExample> weighted(int steps, float first, float second) {
        SplittableRandom random = new SplittableRandom(3);
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = 0; i < steps; i++) {
            examples.add(example(random, 9 + i, first));
            examples.add(example(random, 5 + 3 * i, second));
        }
        return examples;
    }

    /** The same with the second of each two repeated. */
    private static List<EncodedExample> repeated(int steps) {
        List<EncodedExample> examples = new ArrayList<>();
        List<EncodedExample> pairs = weighted(steps, 1, 1);
        for (int i = 0; i < pairs.size(); i += 2) {
            examples.addAll(List.of(pairs.get(i), pairs.get(i + 1), pairs.get(i + 1)));
        }
        return examples;
    }

    private static BatchLoader loader(List<EncodedExample> examples, int micro, int accumulation, Layout layout) {
        Collator collator = new Collator(0, new Collator.FewSizes(16), layout);
        return new BatchLoader(examples, micro, accumulation, 1, collator, false);
    }

    private static Map<String, float[]> gradients(CausalLM model, OptimizerBatch step) {
        Objective objective = new SftObjective();
        Map<String, float[]> found = new TreeMap<>();
        try (TensorScope scope = new TensorScope()) {
            double loss = 0;
            for (int i = 0; i < step.size(); i++) {
                double scale = objective.scale(step, i);
                try (DeviceBatch batch =
                        objective.toDevice(model, step.microBatches().get(i), scale, 8)) {
                    loss += objective.forwardBackward(model, batch).item_double();
                }
            }
            found.put("loss", new float[] {(float) loss});
            model.parameters().forEach((name, tensor) -> {
                found.put(name, Tensors.toFloats(tensor.grad()));
                tensor.grad().zero_();
            });
        }
        return found;
    }

    @ParameterizedTest
    @EnumSource(names = {"PADDED", "PACKED"})
    void theGradientsOfAllWeightsAreThoseOfRepeatedAnswers(Layout layout) {
        try (CausalLM model = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense())) {
            model.parameters().values().forEach((Tensor tensor) -> tensor.set_requires_grad(true));
            Map<String, float[]> expected =
                    gradients(model, loader(repeated(1), 3, 1, layout).next());
            List<BatchLoader> same = List.of(
                    loader(weighted(1, 1, 2), 2, 1, layout),
                    loader(weighted(1, 1, 2), 1, 2, layout),
                    loader(weighted(1, 0.5f, 1), 1, 2, layout));
            for (BatchLoader loader : same) {
                Map<String, float[]> found = gradients(model, loader.next());
                assertEquals(expected.keySet(), found.keySet());
                expected.forEach((name, values) -> TensorData.assertClose(name, values, found.get(name), 2e-5));
            }
            Map<String, float[]> alike =
                    gradients(model, loader(weighted(1, 1, 1), 2, 1, layout).next());
            assertTrue(
                    Math.abs(alike.get("loss")[0] - expected.get("loss")[0]) > 1e-4, "the weights make a difference");
        }
    }

    @ParameterizedTest
    @CsvSource({"PADDED, false", "PACKED, false", "PACKED, true"})
    void aTrainingHasTheLossesOfRepeatedAnswers(Layout layout, boolean quantized) {
        LinearFactory factory = quantized ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), factory)) {
            TrainingReport expected = train(base, loader(repeated(4), 3, 1, layout), loader(repeated(1), 3, 1, layout));
            TrainingReport found =
                    train(base, loader(weighted(4, 0.5f, 1), 1, 2, layout), loader(weighted(1, 1, 2), 2, 1, layout));
            for (int i = 0; i < expected.steps().size(); i++) {
                double loss = expected.steps().get(i).loss();
                assertEquals(loss, found.steps().get(i).loss(), 1e-5 * loss, "step " + i);
            }
            double judged = expected.evaluations().get(0).loss();
            assertEquals(judged, found.evaluations().get(0).loss(), 1e-5 * judged);
        }
    }

    private static TrainingReport train(CausalLM base, BatchLoader loader, BatchLoader heldOut) {
        TrainingSettings settings = TrainingSettings.builder()
                .maxSteps(8)
                .learningRate(5e-3)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            return new Trainer(adapter.attachTo(base), adapter.trainable(), loader, settings, List.of(), () -> false)
                    .evaluating(heldOut)
                    .run();
        }
    }

    @Test
    void allRanksDivideByTheWeightOfAll() {
        List<EncodedExample> examples = weighted(2, 0.5f, 3);
        SftObjective objective = new SftObjective();
        OptimizerBatch alone = loader(examples, 4, 1, Layout.PADDED).next();
        double scale = objective.scale(alone, 0);
        double sum = 0;
        for (int rank = 0; rank < 2; rank++) {
            OptimizerBatch share =
                    loader(examples, 2, 1, Layout.PADDED).ofRank(rank, 2).next();
            assertEquals(scale, objective.scale(share, 0));
            for (Batch batch : share.microBatches()) {
                sum += objective.weight(batch);
            }
        }
        assertEquals(1 / sum, scale, 1e-12);
    }
}
