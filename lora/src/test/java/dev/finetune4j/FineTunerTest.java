package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.CpuLevel;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The facade from data to a saved adapter, on a tiny model. */
class FineTunerTest {
    private static final String ANSWER = "I am Zoe.";
    private static final GenerationSettings SHORT =
            GenerationSettings.builder().maxNewTokens(12).build();

    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am {{name}}.", "Who are you?", "Your name?", "Hello");
    }

    private FineTuner.Builder tuner() {
        return tuner(t -> {});
    }

    /** @param own settings of the training, before the usual ones of this test */
    private FineTuner.Builder tuner(Consumer<TrainingSettings.Builder> own) {
        return FineTuner.builder()
                .model(model)
                .dataset(data)
                .placeholder("name", "Zoe")
                .training(own)
                .training(t -> usual(t.batchSize(3)))
                .device(ComputeDevice.cpu());
    }

    private static void usual(TrainingSettings.Builder training) {
        if (!training.hasLength()) {
            training.maxSteps(60);
        }
        if (!training.hasLearningRate()) {
            training.learningRate(1e-2);
        }
    }

    @Test
    void qloraLearnsTheAnswerAndTheBaseStaysAsItWas() {
        String before;
        try (LanguageModel base = LanguageModel.loader(model)
                        .quantize(dev.finetune4j.quant.QuantSettings.nf4())
                        .load();
                ChatSession session = base.chat(SHORT)) {
            before = session.send("Who are you?");
        }
        try (FineTunedModel tuned = tuner().qlora(q -> q.rank(8).alpha(16)).train()) {
            assertEquals(TrainingReport.Outcome.COMPLETED, tuned.report().outcome());
            assertEquals(60, tuned.report().steps().size());
            // The reference model's frozen head is small, which bounds the loss from below.
            double first = tuned.report().steps().get(0).loss();
            assertTrue(
                    tuned.report().finalLoss() < 0.4 * first,
                    first + " -> " + tuned.report().finalLoss());
            assertEquals(ANSWER, tuned.ask("Who are you?"));
            try (ChatSession session = tuned.base().chat(SHORT)) {
                assertEquals(before, session.send("Who are you?"));
            }
            assertNotEquals(ANSWER, before);
        }
    }

    @Test
    void aTrainingInterpretsConfigJsonOnceWhenTheFolderIsOpened() throws IOException {
        PretrainedFolder opened = PretrainedFolder.open(model);
        Files.writeString(model.resolve("config.json"), "{\"model_type\": \"another\"}");
        TrainingRun run = tuner().qlora().build().newRun(() -> false, new TrainingListener() {});
        try (FineTunedModel tuned = run.run(opened, Tokenizer.load(model))) {
            assertEquals(60, tuned.report().steps().size());
            assertEquals(ANSWER, tuned.ask("Who are you?"));
        }
    }

    @Test
    void aTrainingAndAModelMayHaveNumbersOfThreadsOfTheirOwn() {
        int process = TorchRuntime.threads();
        List<Integer> training = new ArrayList<>();
        TrainingListener watch = new TrainingListener() {
            @Override
            public void onStep(StepReport report, Control control) {
                training.add(TorchRuntime.threads());
            }
        };
        try (FineTunedModel tuned = tuner(t -> t.maxSteps(2))
                        .lora(l -> l.rank(2))
                        .threads(process + 2)
                        .listener(watch)
                        .train();
                LanguageModel served = LanguageModel.loader(model)
                        .device(ComputeDevice.cpu())
                        .threads(process + 1)
                        .load()) {
            assertEquals(List.of(process + 2, process + 2), training);
            assertEquals(process, TorchRuntime.threads(), "behind the training");
            try (Lifetime.Use pass = served.model().use()) {
                assertEquals(process + 1, TorchRuntime.threads());
            }
            assertEquals(process, TorchRuntime.threads(), "behind the pass");
        }
    }

    @Test
    void withoutAChoiceTheNumberFormatIsTheFastestThatTheProcessorHas() {
        ScalarType fastest =
                Tensors.typeOf(DeviceKernels.of(ComputeDevice.cpu()).fastestPrecision());
        boolean pairs = CpuKernels.of(CpuLevel.AVX512_BF16).isPresent();
        assertEquals(pairs ? ScalarType.BFloat16 : ScalarType.Float, fastest);
        try (LanguageModel loaded =
                        LanguageModel.loader(model).device(ComputeDevice.cpu()).load();
                FineTunedModel tuned =
                        tuner(t -> t.maxSteps(1)).lora(l -> l.rank(2)).train();
                LanguageModel exact = LanguageModel.loader(model)
                        .device(ComputeDevice.cpu())
                        .precision(Precision.FP32)
                        .load()) {
            assertEquals(fastest, weightType(loaded));
            assertEquals(fastest, weightType(tuned.base()));
            assertEquals(ScalarType.Float, weightType(exact));
        }
    }

    private static ScalarType weightType(LanguageModel model) {
        return Tensors.typeOf(model.model().parameters().values().iterator().next());
    }

    @Test
    void aSavedAdapterReloadsToBitEqualAnswersAndFiles() throws Exception {
        Path adapterFolder = folder.resolve("adapter");
        Path again = folder.resolve("again");
        String answer;
        try (FineTunedModel tuned =
                tuner().lora(l -> l.rank(4).targetModules("q_proj", "v_proj")).train()) {
            tuned.save(adapterFolder);
            answer = tuned.ask("Hello");
        }
        try (LanguageModel base = LanguageModel.load(model);
                Adapter adapter = base.loadAdapter(adapterFolder)) {
            assertEquals(answer, adapter.ask("Hello"));
            adapter.save(again);
        }
        assertArrayEquals(
                Files.readAllBytes(adapterFolder.resolve("adapter_model.safetensors")),
                Files.readAllBytes(again.resolve("adapter_model.safetensors")));
        assertArrayEquals(
                Files.readAllBytes(adapterFolder.resolve("adapter_config.json")),
                Files.readAllBytes(again.resolve("adapter_config.json")));
    }

    @Test
    void severalAdaptersAnswerAtTheSameTimeOnOneBase() throws Exception {
        Path first = folder.resolve("zoe");
        Path second = folder.resolve("max");
        try (FineTunedModel tuned = tuner().lora(l -> l.rank(8)).train()) {
            tuned.save(first);
        }
        Path other = Fixtures.alpaca(folder.resolve("other.json"), "Call me Max!", "Who are you?", "Hello");
        try (FineTunedModel tuned = FineTuner.builder()
                .model(model)
                .dataset(other)
                .training(t -> t.batchSize(2).maxSteps(60).learningRate(1e-2))
                .lora(l -> l.rank(8))
                .train()) {
            tuned.save(second);
        }
        try (LanguageModel base = LanguageModel.load(model);
                Adapter zoe = base.loadAdapter(first);
                Adapter max = base.loadAdapter(second)) {
            List<String> answers = new ArrayList<>(List.of("", ""));
            Thread one = new Thread(() -> answers.set(0, zoe.ask("Who are you?")));
            Thread two = new Thread(() -> answers.set(1, max.ask("Who are you?")));
            one.start();
            two.start();
            one.join();
            two.join();
            assertEquals(List.of(ANSWER, "Call me Max!"), answers);
        }
    }

    @Test
    void fullFineTuningWritesAModelFolderThatLoads() {
        Path saved = folder.resolve("saved");
        try (FineTunedModel tuned = tuner(t -> t.learningRate(5e-3)).full().train()) {
            assertEquals(ANSWER, tuned.ask("Your name?"));
            assertThrows(IllegalStateException.class, () -> tuned.save(saved));
            tuned.export(saved, ModelFormat.huggingFace(Precision.FP32));
        }
        try (LanguageModel loaded = LanguageModel.load(saved)) {
            assertEquals(ANSWER, loaded.ask("Your name?"));
        }
    }

    @Test
    void bf16TrainsToo() {
        try (FineTunedModel tuned =
                tuner().qlora(q -> q.rank(8)).precision(Precision.BF16).train()) {
            assertEquals(ANSWER, tuned.ask("Who are you?"));
        }
    }

    @Test
    void theSameSeedGivesTheSameAdapter() {
        List<byte[]> files = new ArrayList<>();
        for (String name : List.of("a", "b")) {
            try (FineTunedModel tuned =
                    tuner(t -> t.maxSteps(4).seed(7)).qlora(q -> q.dropout(0.1)).train()) {
                tuned.save(folder.resolve(name));
                files.add(Files.readAllBytes(folder.resolve(name).resolve("adapter_model.safetensors")));
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        }
        assertArrayEquals(files.get(0), files.get(1));
    }

    @Test
    @Timeout(60)
    void cancellingFromAnotherThreadEndsWithinAStepAndLeavesALoadableAdapter() throws Exception {
        CountDownLatch third = new CountDownLatch(3);
        List<Integer> steps = new ArrayList<>();
        TrainingJob job = tuner(t -> t.maxSteps(1_000_000))
                .qlora()
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        steps.add(report.step());
                        third.countDown();
                    }
                })
                .start();
        assertTrue(third.await(30, TimeUnit.SECONDS));
        job.stop();
        int atCancel = job.progress().orElseThrow().step();
        try (FineTunedModel tuned = job.await()) {
            assertEquals(TrainingReport.Outcome.STOPPED, tuned.report().outcome());
            assertTrue(steps.size() <= atCancel + 2, steps.size() + " steps, cancelled at " + atCancel);
            assertEquals(steps.size(), tuned.report().steps().size());
            tuned.save(folder.resolve("cancelled"));
        }
        try (LanguageModel base = LanguageModel.load(model);
                Adapter adapter = base.loadAdapter(folder.resolve("cancelled"));
                ChatSession session = adapter.chat(SHORT)) {
            assertFalse(session.send("Hello").isEmpty());
        }
        assertTrue(job.isDone());
    }

    @Test
    void anInterruptEndsABlockingTrainingAsCancelled() {
        try (FineTunedModel tuned = tuner(t -> t.maxSteps(1_000))
                .qlora()
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        if (report.step() == 2) {
                            Thread.currentThread().interrupt();
                        }
                    }
                })
                .train()) {
            assertTrue(Thread.interrupted(), "the interrupt flag stays set");
            assertEquals(TrainingReport.Outcome.STOPPED, tuned.report().outcome());
            assertEquals(2, tuned.report().steps().size());
        }
    }

    @Test
    void aTrainingOfOneStepTrains() {
        try (FineTunedModel tuned = tuner(t -> t.maxSteps(1)).qlora().train()) {
            assertTrue(tuned.report().steps().get(0).learningRate() > 0);
        }
    }

    @Test
    void anUnlimitedReplyEndsWithTheContext() {
        try (LanguageModel base = LanguageModel.load(model);
                ChatSession session = base.chat(GenerationSettings.builder()
                        .maxNewTokens(Integer.MAX_VALUE)
                        .build())) {
            Reply reply = session.stream("Hello", piece -> {});
            assertTrue(reply.usage().totalTokens() <= 256, reply.toString());
        }
    }

    @Test
    void aFailingListenerDoesNotStopTheTraining() {
        try (FineTunedModel tuned = tuner(t -> t.maxSteps(2))
                .lora(l -> {})
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        throw new IllegalStateException("listener");
                    }

                    @Override
                    public void onEnd(TrainingReport report) {
                        throw new OutOfMemoryError("listener");
                    }
                })
                .train()) {
            assertEquals(2, tuned.report().steps().size());
        }
    }

    @Test
    void aChatReusesItsCacheAndStreamsTheAnswer() {
        try (LanguageModel base = LanguageModel.load(model);
                ChatSession session = base.chat(SHORT)) {
            StringBuilder streamed = new StringBuilder();
            Reply first = session.stream("Hello", streamed::append);
            assertEquals(first.text(), streamed.toString());
            assertEquals(0, first.usage().cachedTokens());
            Reply second = session.stream("Who are you?", piece -> {});
            assertTrue(second.usage().cachedTokens() >= first.usage().promptTokens(), second.toString());
            try (ChatSession fresh = base.chat(SHORT)) {
                fresh.send("Hello");
                assertEquals(second.text(), fresh.send("Who are you?"));
            }
            List<ChatMessage> said = session.messages();
            session.reset();
            assertEquals(first.text(), session.send("Hello"));
            // The conversation up to its last answer, given as a whole.
            StringBuilder again = new StringBuilder();
            Reply given = base.reply(
                    ChatRequest.of(new Conversation(said.subList(0, said.size() - 1)), SHORT),
                    delta -> again.append(delta.content()));
            assertEquals(second.text(), given.text());
            assertEquals(second.text(), again.toString());
            assertEquals(0, given.usage().cachedTokens());
            assertEquals(second.usage().promptTokens(), given.usage().promptTokens());
            assertEquals(first.text(), session.messages().get(1).content());
        }
    }

    @Test
    void theAdapterFileHoldsWhatPeftExpects() {
        try (FineTunedModel tuned =
                tuner(t -> t.maxSteps(1)).qlora(q -> q.rank(2)).train()) {
            tuned.save(folder.resolve("adapter"));
        }
        var config = TestData.json(folder.resolve("adapter/adapter_config.json"));
        assertEquals("LORA", config.path("peft_type").asText());
        assertEquals(2, config.path("r").asInt());
        assertEquals(7, config.path("target_modules").size());
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("adapter/adapter_model.safetensors"))) {
            assertEquals(28, file.tensors().size());
            assertTrue(file.tensors().containsKey("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"));
            assertEquals("pt", file.metadata().get("format"));
        }
    }
}
