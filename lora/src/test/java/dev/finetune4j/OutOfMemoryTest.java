package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.TokenGenerator;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** When memory runs out, the error says so and what helps, and the same process goes on. */
class OutOfMemoryTest {
    private static final String LAYER = "model.layers.1.mlp.up_proj";

    @TempDir
    private Path folder;

    /** A linear that asks for more memory than there can be, in the forward or in the backward pass, while it is told to. */
    private record Greedy(Linear base, AtomicBoolean on, boolean inBackward) implements Linear {
        @Override
        public Tensor forward(Tensor x) {
            if (!inBackward) {
                take();
            }
            return base.forward(CustomFunction.apply(x, given -> given.clone(), gradient -> {
                take();
                return gradient.clone();
            }));
        }

        private void take() {
            if (on.get()) {
                Tensors.empty(ComputeDevice.cpu(), ScalarType.Byte, 1L << 56);
            }
        }

        @Override
        public long inFeatures() {
            return base.inFeatures();
        }

        @Override
        public long outFeatures() {
            return base.outFeatures();
        }

        @Override
        public Tensor denseWeight() {
            return base.denseWeight();
        }

        @Override
        public Map<String, Tensor> parameters() {
            return base.parameters();
        }

        @Override
        public @Nullable Tensor bias() {
            return base.bias();
        }

        @Override
        public void close() {
            base.close();
        }
    }

    private static CausalLM greedy(CausalLM model, AtomicBoolean on, boolean inBackward) {
        return model.map(new ModuleTransform() {
            @Override
            public Linear linear(String name, Linear linear) {
                return name.equals(LAYER) ? new Greedy(linear, on, inBackward) : linear;
            }
        });
    }

    private static TrainingReport train(CausalLM model, PeftAdapter adapter, int rows, int tokens, int vocabulary) {
        return train(model, adapter, rows, tokens, vocabulary, List.of());
    }

    private static TrainingReport train(
            CausalLM model,
            PeftAdapter adapter,
            int rows,
            int tokens,
            int vocabulary,
            List<TrainingListener> listeners) {
        int[] ids = new SplittableRandom(3).ints(tokens, 0, vocabulary).toArray();
        int[] labels = Arrays.copyOf(Arrays.copyOfRange(ids, 1, tokens), tokens);
        labels[tokens - 1] = Labels.IGNORE;
        List<EncodedExample> examples = Stream.generate(() -> new EncodedExample(ids, labels))
                .limit(rows)
                .toList();
        BatchLoader loader = new BatchLoader(examples, rows, 1, 1, new Collator(0, 1), false);
        TrainingSettings settings =
                TrainingSettings.builder().maxSteps(3).learningRate(1e-2).build();
        return new Trainer(model, adapter.trainable(), loader, settings, listeners, () -> false).run();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theSameAdapterTrainsOnAfterAFailedStep(boolean inBackward) {
        AtomicBoolean on = new AtomicBoolean(true);
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                PeftAdapter other = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            CausalLM view = greedy(adapter.attachTo(base), on, inBackward);
            OutOfDeviceMemoryException out =
                    assertThrows(OutOfDeviceMemoryException.class, () -> train(view, adapter, 3, 20, 200));
            assertEquals("training step 1 with 3 x 20 tokens", out.action());
            assertEquals(1L << 56, out.requestedBytes().orElseThrow());
            assertTrue(out.advice().contains("smaller batches"), out.getMessage());

            on.set(false);
            double loss = train(view, adapter, 2, 10, 200).finalLoss();
            double expected = train(greedy(other.attachTo(base), on, inBackward), other, 2, 10, 200)
                    .finalLoss();
            assertEquals(expected, loss, 0, "nothing of the failed step is left");
            for (String name : adapter.parameters().keySet()) {
                assertArrayEquals(
                        Tensors.toFloats(other.parameters().get(name)),
                        Tensors.toFloats(adapter.parameters().get(name)),
                        name);
            }
        }
    }

    /** Memory that runs out where only the outcome is measured must not cost what was trained. */
    @Test
    void aTrainingThatIsDoneIsKeptWhenItsOutcomeCannotBeMeasured() {
        AtomicBoolean on = new AtomicBoolean();
        TrainingListener atTheEnd = new TrainingListener() {
            @Override
            public void onStep(StepReport report, Control control) {
                on.set(report.step() == report.totalSteps());
            }
        };
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            CausalLM view = greedy(adapter.attachTo(base), on, false);
            TrainingReport report = train(view, adapter, 2, 10, 200, List.of(atTheEnd));
            assertEquals(TrainingReport.Outcome.COMPLETED, report.outcome());
            assertEquals(3, report.steps().size());
            assertTrue(Double.isNaN(report.firstRows().tuned()));
            assertEquals(
                    1,
                    report.warnings().stream()
                            .filter(warning -> warning.startsWith("memory ran out where the outcome"))
                            .count(),
                    report.warnings().toString());
        }
    }

    @Test
    void generatingSaysWhereItWas() {
        AtomicBoolean on = new AtomicBoolean(true);
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                KvCache cache = base.newCache()) {
            TokenGenerator generator = new TokenGenerator(greedy(base, on, false), Set.of());
            GenerationSettings four =
                    GenerationSettings.builder().maxNewTokens(4).build();
            int[] prompt = {5, 6, 7};
            OutOfDeviceMemoryException out = assertThrows(
                    OutOfDeviceMemoryException.class, () -> generator.generate(prompt, cache, four, id -> {}));
            assertEquals("generating from 3 tokens behind 0 others", out.action());
            on.set(false);
            assertEquals(4, generator.generate(prompt, cache, four, id -> {}).ids().length);
        }
    }

    @Test
    void theFacadePlansWithoutADataSetAndTrainsByThePlan() {
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        Supplier<FineTuner.Builder> builder = () -> FineTuner.builder()
                .model(model)
                .device(ComputeDevice.cpu())
                .qlora(q -> q.rank(4))
                .maxSequenceLength(32)
                .training(t -> t.batchSize(2));
        MemoryPlan plan = builder.get().plan();
        assertTrue(plan.fits(), plan.describe());
        assertEquals(0, plan.activations().every());
        assertEquals(2, plan.rows());
        assertEquals(32, plan.tokens());
        MemoryPlan all = builder.get()
                .activationCheckpointing(ActivationCheckpointing.all())
                .plan();
        assertEquals(1, all.activations().every());
        assertTrue(all.bytes().activations() < plan.bytes().activations());
        FineTuner tuner = builder.get()
                .activationCheckpointing(ActivationCheckpointing.none())
                .dataset(Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?"))
                .training(t -> t.maxSteps(1))
                .build();
        MemoryPlan ofData = tuner.plan();
        assertEquals(2, ofData.rows());
        assertTrue(ofData.positions() < plan.positions(), ofData.describe());
        assertTrue(ofData.peak() < plan.peak(), ofData.describe());
        try (FineTunedModel tuned = tuner.train()) {
            assertEquals(TrainingReport.Outcome.COMPLETED, tuned.report().outcome());
        }
    }

    @Test
    void theAdviceOfThePlanComesWithTheError() {
        OutOfDeviceMemoryException out = new OutOfDeviceMemoryException(
                "cuda:0",
                "training step 7 with 8 x 512 tokens",
                1L << 30,
                1L << 28,
                8L << 30,
                new RuntimeException("…"));
        MemoryPlan plan = FineTuner.builder()
                .model(Fixtures.tinyChatModel(folder.resolve("model")))
                .device(ComputeDevice.cpu())
                .lora(l -> {})
                .plan();
        RuntimeException advised = TrainingPlan.advised(out, plan);
        assertTrue(advised.getMessage().contains("step 7 with 8 x 512 tokens: 1.0 GiB more"), advised.getMessage());
        assertTrue(advised.getMessage().contains("lower the batch to 4"), advised.getMessage());
        RuntimeException other = new IllegalStateException("closed");
        assertEquals(other, TrainingPlan.advised(other, plan));
    }

    /** The allocator is allowed little more than the small batch needs, so that the large one runs into the limit. */
    @Test
    void aGpuThatIsFullTrainsASmallerBatchAfterwards() {
        Needs.gpu();
        ComputeDevice gpu = TestGpu.device();
        PretrainedFolder directory = PretrainedFolder.open(Fixtures.reference("models/llama"));
        try (CausalLM base = ModelLoader.load(directory, LinearFactory.dense(), new Placement(gpu, Precision.BF16));
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            CausalLM view = adapter.attachTo(base);
            train(view, adapter, 1, 32, 200);
            long before = CudaMemory.of(gpu).allocated();
            double limit = (CudaMemory.of(gpu).reserved() + (256L << 20))
                    / (double) DeviceMemory.of(gpu).total();
            torch_cuda.getAllocator().setMemoryFraction(limit, (byte) gpu.index());
            try {
                OutOfDeviceMemoryException out =
                        assertThrows(OutOfDeviceMemoryException.class, () -> train(view, adapter, 1 << 14, 128, 200));
                assertTrue(out.action().startsWith("training step 1 with 16384 x 128"), out.getMessage());
                assertTrue(out.requestedBytes().isPresent() && out.freeBytes().isPresent(), out.getMessage());
                assertEquals(before, CudaMemory.of(gpu).allocated(), "the failed step is freed");
                assertFalse(train(view, adapter, 2, 32, 200).steps().isEmpty());
            } finally {
                torch_cuda.getAllocator().setMemoryFraction(1, (byte) gpu.index());
            }
        }
    }
}
