package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.objective.Dpo;
import dev.finetune4j.lora.objective.Kto;
import dev.finetune4j.lora.objective.KtoObjective;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.objective.PreferenceObjective;
import dev.finetune4j.lora.objective.ReferenceScores;
import dev.finetune4j.lora.objective.StartCheck;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Preference trainings on a GPU, with captured passes and with prompts that stand in a row once, against those on the CPU in float32. */
class GpuPreferenceTest {
    private static final ComputeDevice GPU = TestGpu.device();
    private static final int STEPS = 12;

    @BeforeEach
    void needGpu() {
        Needs.gpu();
    }

    private static CausalLM model(String name, Placement placement) {
        return ModelLoader.load(
                PretrainedFolder.open(
                        name.equals("llama") || name.equals("gemma2")
                                ? Fixtures.tinyModel(name)
                                : TestData.resource("bases/" + name)),
                new QuantizedLinearFactory(QuantSettings.nf4()),
                placement);
    }

    private static EncodedSequence answer(
            SplittableRandom random, int vocabulary, int[] prompt, int length, EncodedSequence.Kind kind) {
        int[] ids = Arrays.copyOf(prompt, prompt.length + length);
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Labels.IGNORE);
        for (int i = 0; i < length; i++) {
            ids[prompt.length + i] = random.nextInt(vocabulary);
            labels[prompt.length + i - 1] = ids[prompt.length + i];
        }
        return new EncodedSequence(ids, labels, kind);
    }

    /** Lengths differ, but rows come in few sizes. */
    private static List<EncodedExample> pairs(boolean kto, int vocabulary) {
        SplittableRandom random = new SplittableRandom(3);
        List<EncodedExample> pairs = new ArrayList<>();
        for (int i = 0; i < 3 * STEPS; i++) {
            int[] prompt = random.ints(20 + i * 37 % 31, 0, vocabulary).toArray();
            EncodedSequence.Kind first = !kto
                    ? EncodedSequence.Kind.CHOSEN
                    : i % 2 == 0 ? EncodedSequence.Kind.DESIRABLE : EncodedSequence.Kind.UNDESIRABLE;
            pairs.add(new EncodedExample(List.of(
                    answer(random, vocabulary, prompt, 8 + i % 5, first),
                    answer(
                            random,
                            vocabulary,
                            prompt,
                            6 + i % 7,
                            kto ? EncodedSequence.Kind.MISMATCHED : EncodedSequence.Kind.REJECTED))));
        }
        return pairs;
    }

    private static Objective objective(boolean kto, CausalLM base, @Nullable ReferenceScores known) {
        StartCheck check = new StartCheck(true);
        return kto
                ? new KtoObjective(Kto.of(0.5), base, check, Communicator.alone(), known)
                : new PreferenceObjective(Dpo.of(0.5), base, check, known);
    }

    /** In the last epoch the reference is not asked again. */
    private static List<StepReport> steps(CausalLM base, boolean kto, Collator.Layout layout, int every) {
        List<EncodedExample> pairs = pairs(kto, Math.min(200, base.config().vocabSize()));
        Collator collator = new Collator(0, new Collator.FewSizes(), layout);
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(2)
                .learningRate(2e-3)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                ReferenceScores known = new ReferenceScores(pairs, List.of())) {
            return new Trainer(
                            adapter.attachTo(base).withActivations(new ActivationCheckpointing(every)),
                            adapter.trainable(),
                            new BatchLoader(pairs, 3, 1, 1, collator, true),
                            settings,
                            List.of(),
                            () -> false)
                    .minimizing(objective(kto, base, known))
                    .run()
                    .steps();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "llama, false, FP32, PADDED, 0, 1e-3",
        "llama, true, FP32, PADDED, 1, 1e-3",
        "llama, false, BF16, PADDED, 0, 5e-2",
        "llama, false, BF16, PACKED, 1, 5e-2",
        "llama, false, BF16, SHARED, 0, 5e-2",
        "llama, false, BF16, SHARED, 1, 5e-2",
        "llama, true, BF16, SHARED, 0, 5e-2",
        "gemma3, false, BF16, SHARED, 0, 5e-2",
        "gemma2, false, BF16, PACKED, 0, 5e-2"
    })
    void lossesAndRewardsAreThoseOfTheCpu(
            String name, boolean kto, Precision precision, Collator.Layout layout, int every, double tolerance) {
        List<StepReport> expected;
        try (CausalLM base = model(name, Placement.cpuFp32())) {
            expected = steps(base, kto, Collator.Layout.PADDED, 0);
        }
        List<StepReport> actual;
        try (CausalLM base = model(name, new Placement(GPU, precision))) {
            actual = steps(base, kto, layout, every);
        }
        for (int i = 0; i < 2 * STEPS; i++) {
            double loss = expected.get(i).loss();
            assertEquals(loss, actual.get(i).loss(), tolerance * Math.max(1, loss), "step " + i);
        }
        double moved = expected.stream()
                .mapToDouble(step -> Math.abs(step.metrics().getOrDefault("rewards/chosen", 0.0)))
                .max()
                .orElseThrow();
        assertTrue(moved > 0.1, "the policy moves: " + moved);
    }

    @ParameterizedTest
    @CsvSource({"false, PADDED", "false, SHARED", "true, SHARED"})
    void aShapeThatComesAgainIsCaptured(boolean kto, Collator.Layout layout) {
        try (CausalLM base = model("llama", new Placement(GPU, Precision.BF16));
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                ForwardBackward passes = new ForwardBackward(adapter.attachTo(base), objective(kto, base, null));
                FlatParameters parameters = new FlatParameters(adapter.trainable(), ParameterGroups.ONE)) {
            Collator collator = new Collator(0, new Collator.FewSizes(), layout);
            List<EncodedExample> pairs = pairs(kto, Math.min(200, base.config().vocabSize()));
            Batch batch = collator.collate(pairs.subList(0, 3));
            double[] sums = new double[4];
            for (int i = 0; i < sums.length; i++) {
                passes.clear();
                passes.run(batch, 0.5, new Dropout.Draw(1, 0));
                sums[i] = passes.sums().select(0, 0).item_double();
                assertEquals(i == 0 ? 0 : 1, passes.captured(), "pass " + i);
                assertEquals(sums[0], sums[i], 2e-3 * sums[0]);
            }
        }
    }
}
