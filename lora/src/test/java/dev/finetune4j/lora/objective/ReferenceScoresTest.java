package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** In later epochs the reference is not asked again, whatever batches its examples come in. */
class ReferenceScoresTest {
    private static final int PAIRS = 7;

    private static CausalLM base;

    @BeforeAll
    static void load() {
        base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
    }

    @AfterAll
    static void close() {
        base.close();
    }

    private static EncodedSequence answer(
            SplittableRandom random, int[] prompt, int length, EncodedSequence.Kind kind) {
        int[] ids = Arrays.copyOf(prompt, prompt.length + length);
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Labels.IGNORE);
        for (int i = 0; i < length; i++) {
            ids[prompt.length + i] = random.nextInt(base.config().vocabSize());
            labels[prompt.length + i - 1] = ids[prompt.length + i];
        }
        return new EncodedSequence(ids, labels, kind);
    }

    private static List<EncodedExample> examples(boolean kto) {
        SplittableRandom random = new SplittableRandom(3);
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = 0; i < PAIRS; i++) {
            int[] prompt = random.ints(3 + i % 4, 0, base.config().vocabSize()).toArray();
            EncodedSequence.Kind judged =
                    i % 2 == 0 ? EncodedSequence.Kind.DESIRABLE : EncodedSequence.Kind.UNDESIRABLE;
            examples.add(new EncodedExample(List.of(
                    answer(random, prompt, 2 + i % 3, kto ? judged : EncodedSequence.Kind.CHOSEN),
                    answer(
                            random,
                            prompt,
                            1 + i % 5,
                            kto ? EncodedSequence.Kind.MISMATCHED : EncodedSequence.Kind.REJECTED))));
        }
        return examples;
    }

    private record Trained(List<Double> losses, float[] scores) {}

    /**
     * Trains for three epochs against a reference that is spoiled after a step.
     *
     * @param start scores that are known beforehand; null for none
     */
    private static Trained train(
            boolean kto, Collator.Layout layout, boolean remembers, int spoiledAfter, float @Nullable [] start) {
        List<EncodedExample> examples = examples(kto);
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(3)
                .gradientAccumulation(2)
                .learningRate(5e-4)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        try (PeftAdapter policy = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                PeftAdapter frozen = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(2));
                ReferenceScores known = new ReferenceScores(examples, List.of())) {
            if (start != null) {
                ReferenceScores.restore(known, findings(start));
            }
            CausalLM reference = frozen.attachTo(base);
            if (spoiledAfter == 0) {
                spoil(frozen);
            }
            ReferenceScores used = remembers ? known : null;
            Objective objective = kto
                    ? new KtoObjective(Kto.of(0.5), reference, StartCheck.NONE, Communicator.alone(), used)
                    : new PreferenceObjective(Dpo.of(0.5), reference, StartCheck.NONE, used);
            List<Double> losses = new ArrayList<>();
            TrainingListener watcher = new TrainingListener() {
                @Override
                public void onStep(StepReport report, Control control) {
                    losses.add(report.loss());
                    if (report.step() == spoiledAfter) {
                        spoil(frozen);
                    }
                }
            };
            new Trainer(
                            policy.attachTo(base),
                            policy.trainable(),
                            new BatchLoader(examples, 2, 2, 5, new Collator(0, new Collator.Multiple(1), layout), true),
                            settings,
                            List.of(watcher),
                            () -> false)
                    .minimizing(objective)
                    .run();
            Tensor scores = ReferenceScores.findings(known).get("reference_scores");
            try (scores) {
                return new Trained(losses, Tensors.toFloats(scores));
            }
        }
    }

    private static Map<String, Tensor> findings(float... scores) {
        return Map.of("reference_scores", Tensors.ofFloats(ComputeDevice.cpu(), scores, scores.length));
    }

    private static void spoil(PeftAdapter adapter) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            adapter.parameters()
                    .values()
                    .forEach(tensor -> tensor.copy_(
                            Tensors.uniform(Tensors.deviceOf(tensor), new SplittableRandom(9), 1, tensor.shape())));
        }
    }

    @ParameterizedTest
    @CsvSource({"false, PADDED", "false, SHARED", "true, PACKED", "true, SHARED"})
    void laterEpochsDoNotAskTheReference(boolean kto, Collator.Layout layout) {
        Trained expected = train(kto, layout, false, Integer.MAX_VALUE, null);
        Trained spoiled = train(kto, layout, false, 2, null);
        Trained remembered = train(kto, layout, true, 2, null);
        assertEquals(6, expected.losses().size());
        assertNotEquals(expected.losses().get(5), spoiled.losses().get(5), 1e-3, "the reference matters");
        for (int i = 0; i < 6; i++) {
            assertEquals(expected.losses().get(i), remembered.losses().get(i), 1e-5, "step " + i);
        }
        for (float score : remembered.scores()) {
            assertTrue(score < 0, "all are known: " + Arrays.toString(remembered.scores()));
        }
        for (float score : expected.scores()) {
            assertTrue(Float.isNaN(score));
        }
    }

    @Test
    void aTrainingThatGoesOnKnowsThem() {
        Trained first = train(false, Collator.Layout.SHARED, true, Integer.MAX_VALUE, null);
        Trained again = train(false, Collator.Layout.SHARED, true, 0, first.scores());
        assertEquals(first.losses(), again.losses());
        try (ReferenceScores other = new ReferenceScores(examples(false).subList(0, 2), List.of())) {
            Map<String, Tensor> tooMany = findings(first.scores());
            assertThrows(IllegalArgumentException.class, () -> ReferenceScores.restore(other, tooMany));
        }
    }
}
