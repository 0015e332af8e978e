package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingException;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.testsupport.TensorData;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Preference optimization as a parameter of the training loop, against all logits at once and gradients by autograd alone. */
class PreferenceObjectiveTest {
    private static CausalLM base;

    @BeforeAll
    static void load() {
        base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
    }

    @AfterAll
    static void free() {
        base.close();
    }

    static Stream<PairLoss> losses() {
        return Stream.of(
                new Dpo(0.3, 0.1),
                new Hinge(0.4),
                new Ipo(0.7),
                new SimPo(2.5, 1.2),
                new Orpo(0.6),
                new RobustDpo(0.3, 0.2),
                new WithSft(new Cpo(0.2, 0), 0.5, AnswerLoss.EACH_ANSWER));
    }

    /** Pairs of answers of unequal lengths behind prompts of four tokens. */
    private static List<EncodedExample> pairs(int count) {
        return pairs(count, pair -> List.of(Kind.CHOSEN, Kind.REJECTED));
    }

    /** Answers, of which the first is desirable, the second not, and so on, each with a mismatched one. */
    private static List<EncodedExample> judged(int count) {
        return pairs(count, i -> List.of(i % 2 == 0 ? Kind.DESIRABLE : Kind.UNDESIRABLE, Kind.MISMATCHED));
    }

    private static List<EncodedExample> pairs(int count, IntFunction<List<Kind>> kinds) {
        SplittableRandom random = new SplittableRandom(11);
        List<EncodedExample> examples = new ArrayList<>();
        for (int pair = 0; pair < count; pair++) {
            int[] prompt = random.ints(4, 0, 200).toArray();
            List<EncodedSequence> sides = new ArrayList<>();
            for (int side = 0; side < 2; side++) {
                int length = 7 + random.nextInt(4);
                int[] ids = random.ints(length, 0, 200).toArray();
                System.arraycopy(prompt, 0, ids, 0, prompt.length);
                int[] labels = new int[length];
                for (int i = 0; i < length; i++) {
                    labels[i] = i < prompt.length - 1 || i == length - 1 ? Labels.IGNORE : ids[i + 1];
                }
                sides.add(new EncodedSequence(ids, labels, kinds.apply(pair).get(side)));
            }
            examples.add(new EncodedExample(sides));
        }
        return examples;
    }

    private static PreferenceObjective objective(PairLoss loss) {
        return new PreferenceObjective(loss, loss.needsReference() ? base : null);
    }

    /** Log-probability of each row from all logits. */
    private static Tensor direct(CausalLM model, Batch batch) {
        Tensor hidden = model.hidden(ModelInput.padded(model.tokens(batch.inputIds(), batch.rows(), batch.length())));
        Tensor all = torch.log_softmax(model.logits(hidden), -1); // (B, T, V)
        long[] ids = batch.labels();
        float[] mask = new float[ids.length];
        for (int i = 0; i < ids.length; i++) {
            mask[i] = ids[i] == Labels.IGNORE ? 0 : 1;
            ids[i] = Math.max(0, ids[i]);
        }
        ComputeDevice cpu = ComputeDevice.cpu();
        return all.gather(-1, Tensors.ofLongs(cpu, ids, batch.rows(), batch.length(), 1))
                .view(batch.rows(), batch.length())
                .mul(Tensors.ofFloats(cpu, mask, batch.rows(), batch.length()))
                .sum(1);
    }

    private static LogProbs side(Batch batch, Tensor policy, Tensor reference, int side) {
        int[] tokens = new int[batch.examples()];
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = batch.sequences().get(2 * i + side).tokens().targetTokens();
        }
        return new LogProbs(
                policy.view(-1, 2).select(1, side), reference.view(-1, 2).select(1, side), tokens);
    }

    private static Map<String, float[]> gradients(PeftAdapter adapter) {
        Map<String, float[]> gradients = new HashMap<>();
        adapter.parameters().forEach((name, tensor) -> {
            gradients.put(name, Tensors.toFloats(tensor.grad()));
            tensor.grad().zero_();
        });
        return gradients;
    }

    @ParameterizedTest
    @MethodSource("losses")
    void aPassHasTheLossAndGradientsOfTheWhole(PairLoss loss) {
        Batch batch = new Collator(0, 1).collate(pairs(3));
        try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                TensorScope scope = TensorScope.forStep()) {
            moveB(adapter, 1);
            CausalLM model = adapter.attachTo(base);
            adapter.parameters().values().forEach(tensor -> tensor.set_requires_grad(true));
            Tensor reference;
            try (NoGradGuard off = new NoGradGuard()) {
                reference = direct(base, batch);
            }
            Tensor policy = direct(model, batch);
            Tensor expected = loss.losses(side(batch, policy, reference, 0), side(batch, policy, reference, 1))
                    .mean();
            expected.backward();
            Map<String, float[]> gradients = gradients(adapter);

            PreferenceObjective objective = objective(loss);
            assertEquals(3, objective.terms(batch));
            Tensor sums;
            try (DeviceBatch onDevice = objective.toDevice(model, batch, 1.0 / 3, 64)) {
                sums = objective.forwardBackward(model, onDevice);
            }
            assertEquals(1 + 2 * objective.metrics().size(), sums.numel());
            double[] judged = objective.evaluate(model, batch);
            for (int i = 1; i < judged.length; i++) {
                double found = sums.select(0, i).item_double();
                assertEquals(found, judged[i], 1e-4 * Math.max(1, Math.abs(found)), "metric " + (i - 1) / 2);
            }
            double value = sums.select(0, 0).item_double();
            assertEquals(expected.item_double(), value, 1e-5 * Math.abs(value));
            assertEquals(value, objective.evaluate(model, batch)[0] / 3, 1e-5 * Math.abs(value));
            Map<String, float[]> actual = gradients(adapter);
            gradients.forEach(
                    (name, gradient) -> assertTrue(TensorData.relativeError(gradient, actual.get(name)) < 1e-3, name));
        }
    }

    /** Away from the start, where the adapter changes nothing and most gradients are zero. */
    private static void moveB(PeftAdapter adapter, int sign) {
        SplittableRandom random = new SplittableRandom(2);
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            adapter.parameters().forEach((name, tensor) -> {
                if (name.contains("lora_B")) {
                    tensor.copy_(Tensors.uniform(ComputeDevice.cpu(), random, 0.05, tensor.shape())
                            .mul(new Scalar(sign)));
                }
            });
        }
    }

    @Test
    void dpoTrainsFromTheReferenceTowardsTheChosenAnswers() {
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(10)
                .learningRate(1e-2)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        Objective dpo = objective(Dpo.of(0.5));
        try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            BatchLoader loader = new BatchLoader(pairs(4), 2, 2, 1, new Collator(0, 1), false);
            TrainingReport report = new Trainer(
                            adapter.attachTo(base), adapter.trainable(), loader, settings, List.of(), () -> false)
                    .minimizing(dpo)
                    .run();
            StepReport first = report.steps().get(0);
            assertEquals(Math.log(2), first.loss(), 1e-6, "the policy starts as the reference");
            assertEquals(0, first.metrics().get("rewards/margins"), 1e-6);
            StepReport last = report.steps().get(report.steps().size() - 1);
            assertTrue(last.loss() < 0.1, last.toString());
            assertEquals(1, last.metrics().get("rewards/accuracies"));
            assertEquals(
                    last.metrics().get("rewards/chosen") - last.metrics().get("rewards/rejected"),
                    last.metrics().get("rewards/margins"),
                    1e-5);
            assertTrue(report.warnings().stream().noneMatch(warning -> warning.contains("word for word")));
        }
    }

    /** A policy pulled towards another model than the one it started from is noticed at once. */
    @Test
    void anotherReferenceThanTheStartEndsTheTraining() {
        TrainingSettings settings = TrainingSettings.builder().maxSteps(2).build();
        try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                PeftAdapter other = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            moveB(other, 1);
            for (Objective objective : List.of(
                    new PreferenceObjective(Dpo.of(0.5), other.attachTo(base), new StartCheck(true), null),
                    new KtoObjective(
                            Kto.of(0.5), other.attachTo(base), new StartCheck(true), Communicator.alone(), null))) {
                List<EncodedExample> examples = objective instanceof KtoObjective ? judged(4) : pairs(4);
                Trainer trainer = new Trainer(
                                adapter.attachTo(base),
                                adapter.trainable(),
                                new BatchLoader(examples, 4, 1, 1, new Collator(0, 1), false),
                                settings,
                                List.of(),
                                () -> false)
                        .minimizing(objective);
                String message =
                        assertThrows(TrainingException.class, trainer::run).getMessage();
                assertTrue(message.contains("step 1: rewards/") && message.contains("reference"), message);
            }
        }
    }

    @Test
    void aPassOfKtoHasTheLossAndGradientsOfTheWhole() {
        Batch batch = new Collator(0, 1).collate(judged(3));
        Kto kto = new Kto(0.4, 2, 3);
        KtoObjective objective = new KtoObjective(kto, base);
        try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                TensorScope scope = TensorScope.forStep()) {
            moveB(adapter, -1);
            CausalLM model = adapter.attachTo(base);
            adapter.parameters().values().forEach(tensor -> tensor.set_requires_grad(true));
            Tensor reference;
            try (NoGradGuard off = new NoGradGuard()) {
                reference = direct(base, batch);
            }
            Tensor policy = direct(model, batch);
            double z = Kto.baseline(side(batch, policy, reference, 1));
            assertTrue(z > 0, "the estimate counts in this case");
            LogProbs answers = side(batch, policy, reference, 0);
            Tensor expected =
                    kto.losses(answers, new boolean[] {true, false, true}, z).mean();
            expected.backward();
            Map<String, float[]> gradients = gradients(adapter);

            double[] sums;
            try (DeviceBatch onDevice = objective.toDevice(model, batch, 1.0 / 3, 1)) {
                Tensor returned = objective.forwardBackward(model, onDevice);
                sums = IntStream.range(0, 7)
                        .mapToDouble(i -> returned.select(0, i).item_double())
                        .toArray();
                assertEquals(sums.length, returned.numel());
            }
            assertEquals(expected.item_double(), sums[0], 1e-5);
            assertEquals(sums[0], objective.evaluate(model, batch)[0] / 3, 1e-5);
            float[] ratios = Tensors.toFloats(Margins.logRatio(answers));
            assertEquals(0.4 * (ratios[0] + ratios[2]), sums[1], 1e-4);
            assertEquals(2, sums[2]);
            assertEquals(0.4 * ratios[1], sums[3], 1e-4);
            assertEquals(1, sums[4]);
            assertEquals(z, sums[5], 1e-5);
            Map<String, float[]> actual = gradients(adapter);
            gradients.forEach(
                    (name, gradient) -> assertTrue(TensorData.relativeError(gradient, actual.get(name)) < 1e-3, name));
        }
    }

    /** A mean over pairs, however they are split into micro-batches. */
    @Test
    void theSplitOfAStepChangesNothing() {
        List<Double> losses = new ArrayList<>();
        List<float[]> values = new ArrayList<>();
        for (int micro : new int[] {6, 2, 1}) {
            TrainingSettings settings = TrainingSettings.builder()
                    .epochs(3)
                    .gradientAccumulation(6 / micro)
                    .learningRate(1e-3)
                    .schedule(LearningRateSchedule.constant(), 0)
                    .build();
            try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
                BatchLoader loader = new BatchLoader(pairs(6), micro, 6 / micro, 1, new Collator(0, 1), false);
                TrainingReport report = new Trainer(
                                adapter.attachTo(base), adapter.trainable(), loader, settings, List.of(), () -> false)
                        .minimizing(objective(Dpo.of(0.5)))
                        .run();
                losses.add(report.finalLoss());
                values.add(Tensors.toFloats(
                        adapter.parameters().values().iterator().next()));
            }
        }
        assertEquals(losses.get(0), losses.get(1), 1e-5);
        assertEquals(losses.get(0), losses.get(2), 1e-5);
        assertArrayEquals(values.get(0), values.get(1), 1e-4f);
        assertArrayEquals(values.get(0), values.get(2), 1e-4f);
    }

    @Test
    void whatCannotBeComparedIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> new PreferenceObjective(Dpo.of(0.1), null));
        Batch judged = new Collator(0, 1).collate(judged(2));
        String message = assertThrows(
                        IllegalArgumentException.class,
                        () -> objective(new Orpo(1)).toDevice(base, judged, 1, 1))
                .getMessage();
        assertTrue(message.contains("DESIRABLE") && message.contains("CHOSEN"), message);
        Batch supervised = new Collator(0, 1).collate(List.of(new EncodedExample(new int[] {1, 2}, new int[] {2, 3})));
        assertThrows(
                IllegalArgumentException.class,
                () -> new KtoObjective(Kto.of(0.1), base).toDevice(base, supervised, 1, 1));
    }
}
