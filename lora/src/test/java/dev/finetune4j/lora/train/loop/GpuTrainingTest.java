package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.InferenceSession;
import dev.finetune4j.core.inference.TokenGenerator;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.objective.SftObjective;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntUnaryOperator;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Trainings on a GPU, with recorded passes and with blocks that compute again, against those on the CPU in float32. */
class GpuTrainingTest {
    private static final ComputeDevice GPU = TestGpu.device();
    private static final int STEPS = 20;

    @BeforeEach
    void needGpu() {
        Needs.gpu();
    }

    private static LinearFactory factory(boolean quantized) {
        return quantized ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
    }

    private static CausalLM model(String name, boolean quantized, Placement placement) {
        return ModelLoader.load(
                PretrainedFolder.open(
                        name.equals("llama") || name.equals("gemma2")
                                ? Fixtures.tinyModel(name)
                                : TestData.resource("bases/" + name)),
                factory(quantized),
                placement);
    }

    /** Two lengths in turn, so that plain and recorded passes of both are run. */
    private static List<EncodedExample> examples(int vocabulary, int count) {
        return examples(vocabulary, count, i -> i / 2 % 2 == 0 ? 24 : 17);
    }

    private static List<EncodedExample> examples(int vocabulary, int count, IntUnaryOperator lengths) {
        SplittableRandom random = new SplittableRandom(7);
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int length = lengths.applyAsInt(i);
            int[] ids = random.ints(length, 0, vocabulary).toArray();
            int[] labels = new int[length];
            for (int k = 0; k < length; k++) {
                labels[k] = k < 4 || k == length - 1 ? Labels.IGNORE : ids[k + 1];
            }
            examples.add(new EncodedExample(ids, labels));
        }
        return examples;
    }

    private static List<Double> losses(
            CausalLM base, LoraSettings settings, ActivationCheckpointing policy, int steps) {
        return losses(base, settings, policy, examples(base.config().vocabSize(), 2 * steps));
    }

    private static List<Double> losses(
            CausalLM base, LoraSettings settings, ActivationCheckpointing policy, List<EncodedExample> examples) {
        return losses(base, settings, policy, new BatchLoader(examples, 2, 1, 1, new Collator(0, 1), false));
    }

    private static List<Double> losses(
            CausalLM base, LoraSettings settings, ActivationCheckpointing policy, BatchLoader loader) {
        TrainingSettings training = TrainingSettings.builder()
                .epochs(1)
                .learningRate(2e-3)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        try (PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1))) {
            TrainingReport report = new Trainer(
                            adapter.attachTo(base).withActivations(policy),
                            adapter.trainable(),
                            loader,
                            training,
                            List.of(),
                            () -> false)
                    .run();
            return report.steps().stream().map(StepReport::loss).toList();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "llama, false, FP32, 0, 1e-4",
        "llama, false, FP32, 1, 1e-4",
        "llama, true, FP32, 2, 1e-4",
        "llama_tied_bias, true, FP32, 0, 1e-4",
        "llama_tied_bias, false, FP32, 1, 1e-4",
        "gemma3, false, FP32, 0, 1e-4",
        "gemma3, true, FP32, 1, 1e-4",
        "llama, true, BF16, 0, 2e-2",
        "llama, false, BF16, 1, 2e-2"
    })
    void lossesAreThoseOfTheCpu(String name, boolean quantized, Precision precision, int every, double tolerance) {
        assertLossesOfTheCpu(LoraSettings.defaults(), name, quantized, precision, every, tolerance);
    }

    /** The masks of each pass are those of the CPU, in plain passes and in captured ones. */
    @ParameterizedTest
    @CsvSource({
        "llama, false, FP32, 0, 1e-4",
        "llama, true, FP32, 1, 1e-4",
        "gemma3, true, FP32, 2, 1e-4",
        "llama, true, BF16, 0, 2e-2",
        "llama, false, BF16, 1, 2e-2"
    })
    void lossesWithDropoutAreThoseOfTheCpu(
            String name, boolean quantized, Precision precision, int every, double tolerance) {
        LoraSettings settings = LoraSettings.builder().dropout(0.3).build();
        assertLossesOfTheCpu(settings, name, quantized, precision, every, tolerance);
    }

    @ParameterizedTest
    @CsvSource({
        "llama, false, FP32, 0, 0, 1e-4",
        "llama, true, FP32, 0, 1, 1e-4",
        "llama_tied_bias, true, FP32, 0.3, 1, 1e-4",
        "llama, true, BF16, 0, 1, 2e-2"
    })
    void lossesOfDoraAreThoseOfTheCpu(
            String name, boolean quantized, Precision precision, double dropout, int every, double tolerance) {
        LoraSettings settings =
                LoraSettings.builder().useDora(true).dropout(dropout).build();
        assertLossesOfTheCpu(settings, name, quantized, precision, every, tolerance);
    }

    private static void assertLossesOfTheCpu(
            LoraSettings settings, String name, boolean quantized, Precision precision, int every, double tolerance) {
        List<Double> expected;
        try (CausalLM base = model(name, quantized, Placement.cpuFp32())) {
            expected = losses(base, settings, ActivationCheckpointing.none(), STEPS);
        }
        List<Double> actual;
        try (CausalLM base = model(name, quantized, new Placement(GPU, precision))) {
            actual = losses(base, settings, new ActivationCheckpointing(every), STEPS);
        }
        for (int i = 0; i < STEPS; i++) {
            assertEquals(expected.get(i), actual.get(i), tolerance * expected.get(i), "step " + i);
        }
    }

    /** Graphs are launched for other packings of a length than they were captured for. */
    @ParameterizedTest
    @CsvSource({
        "llama, false, 0, false",
        "llama, true, 1, false",
        "llama, true, 1, true",
        "gemma2, false, 1, true",
        "gemma2, false, 0, false",
        "gemma3, false, 1, false"
    })
    void packedRowsHaveTheLossesOfPaddedOnes(String name, boolean quantized, int every, boolean keepsAttention) {
        ActivationCheckpointing policy = new ActivationCheckpointing(every, keepsAttention);
        try (CausalLM base = model(name, quantized, new Placement(GPU, Precision.BF16))) {
            assertTrue(base.supportsPacking());
            // 20 to 70 tokens, so that four rows fill few sizes in many ways.
            int vocabulary = Math.min(200, base.config().vocabSize());
            List<EncodedExample> examples = examples(vocabulary, 4 * STEPS, i -> 20 + i * 37 % 51);
            List<Double> padded = losses(
                    base,
                    LoraSettings.defaults(),
                    policy,
                    new BatchLoader(examples, 4, 1, 1, new Collator(0, 1), false));
            Collator packing = new Collator(0, new Collator.FewSizes(), Collator.Layout.PACKED);
            List<Double> packed =
                    losses(base, LoraSettings.defaults(), policy, new BatchLoader(examples, 4, 1, 1, packing, false));
            for (int i = 0; i < STEPS; i++) {
                assertEquals(padded.get(i), packed.get(i), 2e-2 * padded.get(i), "step " + i);
            }
            double mean = padded.stream().mapToDouble(loss -> loss).average().orElseThrow();
            assertEquals(
                    mean,
                    packed.stream().mapToDouble(loss -> loss).average().orElseThrow(),
                    5e-3 * mean,
                    "the epoch's loss");
        }
    }

    /** Longer rows make the tables of rotary angles anew, while graphs read the old ones. */
    @Test
    void capturedPassesKeepTheirAnglesWhenRowsGrow() {
        IntUnaryOperator lengths = i -> i / 2 == 6 ? 300 : i / 2 == 9 ? 600 : 100;
        LoraSettings settings = LoraSettings.defaults();
        List<Double> expected;
        try (CausalLM base = model("llama", false, Placement.cpuFp32())) {
            expected = losses(base, settings, ActivationCheckpointing.none(), examples(200, 2 * STEPS, lengths));
        }
        try (CausalLM base = model("llama", false, new Placement(GPU, Precision.FP32))) {
            List<Double> actual =
                    losses(base, settings, ActivationCheckpointing.none(), examples(200, 2 * STEPS, lengths));
            for (int i = 0; i < STEPS; i++) {
                assertEquals(expected.get(i), actual.get(i), 1e-4 * expected.get(i), "step " + i);
            }
        }
    }

    /** Attention over sequences behind one another gives each what it has alone, its gradients too. */
    @ParameterizedTest
    @CsvSource({
        "llama, BF16, 3e-2",
        "llama, FP32, 1e-5",
        "gemma2, BF16, 3e-2",
        "gemma3, BF16, 3e-2",
        "gemma2, FP32, 1e-5"
    })
    void packedSequencesAreThoseAlone(String family, Precision precision, double tolerance) {
        long[] lengths = {5, 1, 17, 9};
        try (CausalLM model = model(family, false, new Placement(GPU, precision));
                TensorScope scope = TensorScope.forStep()) {
            long[] ids = new SplittableRandom(3)
                    .longs(32, 0, Math.min(200, model.config().vocabSize()))
                    .toArray();
            model.parameters().values().forEach(tensor -> tensor.set_requires_grad(true));
            float[] packed = Tensors.toFloats(model.hidden(ModelInput.packed(model.tokens(ids, 1, 32), lengths)));
            model.hidden(ModelInput.packed(model.tokens(ids, 1, 32), lengths))
                    .square()
                    .sum()
                    .backward();
            Map<String, float[]> gradients = new HashMap<>();
            model.parameters().forEach((name, tensor) -> {
                if (tensor.grad().defined()) {
                    gradients.put(name, Tensors.toFloats(tensor.grad()));
                    tensor.mutable_grad().put(new Tensor());
                }
            });
            int start = 0;
            for (long length : lengths) {
                long[] own = Arrays.copyOfRange(ids, start, start + (int) length);
                Tensor hidden = model.hidden(ModelInput.padded(model.tokens(own, 1, length)));
                float[] alone = Tensors.toFloats(hidden);
                close(
                        alone,
                        Arrays.copyOfRange(
                                packed, start * alone.length / (int) length, 32 * alone.length / (int) length),
                        tolerance);
                hidden.square().sum().backward();
                start += (int) length;
            }
            assertTrue(gradients.size() > 10);
            gradients.forEach((name, gradient) ->
                    close(Tensors.toFloats(model.parameters().get(name).grad()), gradient, tolerance));
        }
    }

    /** The first of the actual numbers are the expected ones, measured by the largest. */
    private static void close(float[] expected, float[] actual, double tolerance) {
        double largest = 0;
        double difference = 0;
        for (int i = 0; i < expected.length; i++) {
            largest = Math.max(largest, Math.abs(expected[i]));
            difference = Math.max(difference, Math.abs(expected[i] - actual[i]));
        }
        assertTrue(difference <= tolerance * largest, difference + " of " + largest);
    }

    @Test
    void aShapeThatComesAgainIsRecorded() {
        try (CausalLM base = model("llama", true, new Placement(GPU, Precision.BF16));
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                ForwardBackward passes = new ForwardBackward(adapter.attachTo(base), new SftObjective());
                FlatParameters parameters = new FlatParameters(adapter.trainable(), ParameterGroups.ONE)) {
            Batch batch = new Collator(0, 1).collate(examples(base.config().vocabSize(), 2));
            double[] sums = new double[4];
            for (int i = 0; i < sums.length; i++) {
                passes.clear();
                passes.run(batch, 0.5, new Dropout.Draw(1, 0));
                sums[i] = passes.sums().item_double();
                assertEquals(i == 0 ? 0 : 1, passes.captured(), "pass " + i);
                assertEquals(sums[0], sums[i], 1e-6 * sums[0]);
            }
            assertTrue(torch.linalg_vector_norm(parameters.gradients()).item_double() > 0);
        }
    }

    /** Blocks that are recomputed have the masks of their forward pass. */
    @ParameterizedTest
    @CsvSource({"FP32, 1e-5", "BF16, 2e-2"})
    void recomputedBlocksHaveTheSameGradients(Precision precision, double tolerance) {
        LoraSettings settings = LoraSettings.builder().dropout(0.3).build();
        try (CausalLM base = model("llama", true, new Placement(GPU, precision));
                PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1));
                FlatParameters parameters =
                        new FlatParameters(adapter.trainable(), ParameterGroups.ONE, Tensors.typeOf(precision))) {
            parameters.values().add_(new Scalar(0.02));
            parameters.refreshComputeCopies();
            Batch batch = new Collator(0, 1).collate(examples(base.config().vocabSize(), 2));
            List<float[]> gradients = new ArrayList<>();
            for (ActivationCheckpointing policy : List.of(
                    ActivationCheckpointing.none(),
                    ActivationCheckpointing.all(),
                    ActivationCheckpointing.all().keepingAttention())) {
                try (ForwardBackward passes =
                        new ForwardBackward(adapter.attachTo(base).withActivations(policy), new SftObjective())) {
                    parameters.gradients().zero_();
                    passes.run(batch, 0.5, new Dropout.Draw(1, 3));
                    gradients.add(Tensors.toFloats(parameters.gradients()));
                }
            }
            close(gradients.get(0), gradients.get(1), tolerance);
            close(gradients.get(0), gradients.get(2), tolerance);
        }
    }

    /** A graph has the masks of the pass for which it is launched, not of that for which it was captured. */
    @ParameterizedTest
    @CsvSource({"FP32, 0", "BF16, 0", "BF16, 1"})
    void aCapturedPassDrawsAnew(Precision precision, int every) {
        LoraSettings settings = LoraSettings.builder().dropout(0.3).build();
        try (CausalLM base = model("llama", true, new Placement(GPU, precision));
                PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1));
                ForwardBackward passes = new ForwardBackward(
                        adapter.attachTo(base).withActivations(new ActivationCheckpointing(every)),
                        new SftObjective());
                FlatParameters parameters = new FlatParameters(adapter.trainable(), ParameterGroups.ONE)) {
            // B is 0 at first, and the masks would not show.
            parameters.values().add_(new Scalar(0.02));
            parameters.refreshComputeCopies();
            Batch batch = new Collator(0, 1).collate(examples(base.config().vocabSize(), 2));
            List<Double> losses = new ArrayList<>();
            List<Double> norms = new ArrayList<>();
            int[] draws = {0, 1, 2, 0, 1, 2};
            for (int draw : draws) {
                passes.clear();
                parameters.gradients().zero_();
                passes.run(batch, 0.5, new Dropout.Draw(1, draw));
                losses.add(passes.sums().item_double());
                norms.add(torch.linalg_vector_norm(parameters.gradients()).item_double());
            }
            assertEquals(1, passes.captured());
            for (int i = 0; i < 3; i++) {
                assertEquals(losses.get(i), losses.get(i + 3), 1e-6 * losses.get(i));
                assertEquals(norms.get(i), norms.get(i + 3), 1e-5 * norms.get(i));
                double other = losses.get((i + 1) % 3);
                assertTrue(Math.abs(losses.get(i) - other) > 1e-5 * other, losses.toString());
            }
        }
    }

    /** The loader has run ahead when a step is reported; the snapshot belongs to the step all the same. */
    @ParameterizedTest
    @CsvSource({"FP32, 1e-6", "BF16, 1e-3"})
    void aTrainingGoesOnFromASnapshot(Precision precision, double tolerance) {
        TrainingSettings training = TrainingSettings.builder()
                .epochs(1)
                .learningRate(2e-3)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        try (CausalLM base = model("llama", true, new Placement(GPU, precision));
                PeftAdapter first = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                PeftAdapter second = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(2))) {
            List<EncodedExample> examples = examples(base.config().vocabSize(), 2 * STEPS);
            AtomicReference<Trainer> running = new AtomicReference<>();
            AtomicReference<TrainingState.Snapshot> taken = new AtomicReference<>();
            TrainingListener listener = new TrainingListener() {
                @Override
                public void onStep(StepReport report, Control control) {
                    if (report.step() == 7) {
                        taken.set(running.get().snapshot());
                    }
                }
            };
            running.set(new Trainer(
                    first.attachTo(base),
                    first.trainable(),
                    new BatchLoader(examples, 2, 1, 1, new Collator(0, 1), false),
                    training,
                    List.of(listener),
                    () -> false));
            TrainingReport whole = running.get().run();
            try (TrainingState.Snapshot snapshot = taken.get()) {
                assertEquals(new BatchLoader.Position(0, 14), snapshot.position());
                TrainingReport rest = new Trainer(
                                second.attachTo(base),
                                second.trainable(),
                                new BatchLoader(examples, 2, 1, 1, new Collator(0, 1), false),
                                training,
                                List.of(),
                                () -> false)
                        .resumingFrom(snapshot)
                        .run();
                double expected = whole.steps().get(7).loss();
                assertEquals(expected, rest.steps().get(0).loss(), tolerance * expected);
                assertEquals(STEPS - 7, rest.steps().size());
            }
        }
    }

    @Test
    void manyStepsLeaveTheMemoryOfTheGpuFlat() {
        try (CausalLM base = model("llama", true, new Placement(GPU, Precision.BF16))) {
            List<Long> allocated = new ArrayList<>();
            BatchLoader loader =
                    new BatchLoader(examples(base.config().vocabSize(), 400), 2, 1, 1, new Collator(0, 1), false);
            TrainingSettings training =
                    TrainingSettings.builder().epochs(1).learningRate(1e-4).build();
            TrainingListener watch = new TrainingListener() {
                @Override
                public void onStep(StepReport report, Control control) {
                    allocated.add(CudaMemory.of(GPU).allocated());
                }
            };
            try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
                new Trainer(adapter.attachTo(base), adapter.trainable(), loader, training, List.of(watch), () -> false)
                        .run();
            }
            assertEquals(200, allocated.size());
            assertTrue(allocated.get(199) <= allocated.get(9), allocated.get(9) + " to " + allocated.get(199));
        }
    }

    /**
     * More shapes than recordings are kept, epoch after epoch. What recordings hold counts as reserved even while no pass
     * runs, so that a recording which is replaced and not freed shows.
     */
    @Test
    void manyShapesLeaveTheReservedMemoryOfTheGpuFlat() {
        int shapes = 48;
        int count = 192;
        try (CausalLM base = model("llama", true, new Placement(GPU, Precision.BF16))) {
            List<Long> reserved = new ArrayList<>();
            List<EncodedExample> examples = examples(base.config().vocabSize(), count, i -> 9 + i * 7 % shapes);
            BatchLoader loader = new BatchLoader(examples, 1, 1, 1, new Collator(0, 1), false);
            TrainingSettings training =
                    TrainingSettings.builder().epochs(6).learningRate(1e-4).build();
            TrainingListener watch = new TrainingListener() {
                @Override
                public void onStep(StepReport report, Control control) {
                    reserved.add(CudaMemory.of(GPU).reserved());
                }
            };
            try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
                new Trainer(adapter.attachTo(base), adapter.trainable(), loader, training, List.of(watch), () -> false)
                        .run();
            }
            assertEquals(6 * count, reserved.size());
            long first = Collections.max(reserved.subList(0, 3 * count));
            long last = Collections.max(reserved.subList(3 * count, 6 * count));
            assertTrue(last <= 1.1 * first, first + " to " + last);
        }
    }

    /** Captures, launches and closings of other threads change nothing in a training, nor it in them. */
    @Test
    void trainsWhileOtherThreadsCaptureAndGenerate() throws Exception {
        try (CausalLM base = model("llama", true, new Placement(GPU, Precision.FP32))) {
            List<Double> alone = losses(base, LoraSettings.defaults(), ActivationCheckpointing.none(), 60);
            int[] prompt = new SplittableRandom(5).ints(9, 0, 200).toArray();
            int[] answer = answer(base, prompt);
            AtomicBoolean stop = new AtomicBoolean();
            ExecutorService pool = Executors.newFixedThreadPool(4);
            try {
                List<Future<Integer>> chats = new ArrayList<>();
                for (int i = 0; i < 3; i++) {
                    chats.add(pool.submit(() -> {
                        int answers = 0;
                        do {
                            assertArrayEquals(answer, answer(base, prompt));
                            answers++;
                        } while (!stop.get());
                        return answers;
                    }));
                }
                Future<List<Double>> other =
                        pool.submit(() -> losses(base, LoraSettings.defaults(), ActivationCheckpointing.none(), 60));
                for (int i = 0; i < 3; i++) {
                    assertClose(alone, losses(base, LoraSettings.defaults(), ActivationCheckpointing.none(), 60));
                }
                assertClose(alone, other.get());
                stop.set(true);
                for (Future<Integer> chat : chats) {
                    assertTrue(chat.get() > 0);
                }
            } finally {
                stop.set(true);
                pool.shutdown();
            }
        }
    }

    private static void assertClose(List<Double> expected, List<Double> actual) {
        for (int i = 0; i < expected.size(); i++) {
            assertEquals(expected.get(i), actual.get(i), 1e-5 * expected.get(i), "step " + i);
        }
    }

    /** A greedy answer by a decoder of its own, whose steps are captured anew. */
    private static int[] answer(CausalLM model, int[] prompt) {
        try (InferenceSession text = InferenceSession.of(model)) {
            return new TokenGenerator(model, Set.of())
                    .generate(
                            prompt,
                            text,
                            GenerationSettings.builder().maxNewTokens(40).build(),
                            id -> {})
                    .ids();
        }
    }

    /** Passes of many shapes, each captured, and none of them left over afterwards. */
    @Test
    void whatWasCapturedCanBeGivenUpForMemory() {
        try (CausalLM base = model("llama", true, new Placement(GPU, Precision.BF16));
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                ForwardBackward passes = new ForwardBackward(adapter.attachTo(base), new SftObjective());
                FlatParameters parameters = new FlatParameters(adapter.trainable(), ParameterGroups.ONE)) {
            List<EncodedExample> examples = examples(base.config().vocabSize(), 3);
            Batch one = new Collator(0, 1).collate(examples.subList(0, 2));
            Batch other = new Collator(0, 1).collate(examples.subList(2, 3));
            double[] sums = new double[2];
            for (int i = 0; i < 6; i++) {
                passes.clear();
                passes.run(i % 2 == 0 ? one : other, 0.5, new Dropout.Draw(1, i));
                sums[i % 2] = passes.sums().item_double();
            }
            assertEquals(2, passes.captured());
            long reserved = CudaMemory.of(GPU).reserved();
            assertTrue(passes.freeGraphs());
            assertFalse(passes.freeGraphs(), "there is nothing more to give");
            assertEquals(0, passes.captured());
            assertTrue(CudaMemory.of(GPU).reserved() < reserved);
            for (int i = 0; i < 6; i++) {
                passes.clear();
                passes.run(i % 2 == 0 ? one : other, 0.5, new Dropout.Draw(1, i));
                assertEquals(sums[i % 2], passes.sums().item_double(), 1e-6 * sums[i % 2]);
            }
            assertEquals(0, passes.captured());
            assertTrue(torch.linalg_vector_norm(parameters.gradients()).item_double() > 0);
        }
    }
}
