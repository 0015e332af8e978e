package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingException;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.testsupport.OwnThread;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Trainings on a model that is loaded already and answers meanwhile. */
@Timeout(120)
class LoadedBaseTest {
    private static final GenerationSettings SHORT =
            GenerationSettings.greedy().toBuilder().maxNewTokens(8).build();
    private static final List<Conversation> QUESTIONS = List.of(
            Conversation.of(ChatMessage.user("Who are you?")),
            Conversation.of(ChatMessage.user("Count to ten")),
            Conversation.of(ChatMessage.user("A longer question, which stands here for a prompt of some more tokens")));

    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
    }

    private LanguageModel load(boolean fourBit) {
        LanguageModel.Loader loader =
                LanguageModel.loader(model).device(Fixtures.device()).precision(Precision.FP32);
        return (fourBit ? loader.quantize(QuantSettings.nf4()) : loader).load();
    }

    private FineTuner.Builder tuner(int steps, long seed) {
        return FineTuner.builder()
                .dataset(data)
                .training(t -> t.maxSteps(steps).batchSize(3).learningRate(1e-2).seed(seed));
    }

    private static FineTuner.Builder withMethod(FineTuner.Builder tuner, boolean fourBit) {
        return fourBit ? tuner.qlora(l -> l.dropout(0.1)) : tuner.lora(l -> l.dropout(0.1));
    }

    private static List<String> answers(ChatModel model) {
        return model
                .generate(QUESTIONS.stream()
                        .map(question -> ChatRequest.of(question, SHORT))
                        .toList())
                .stream()
                .map(Reply::text)
                .toList();
    }

    private static List<Double> losses(FineTunedModel tuned) {
        return tuned.report().steps().stream().map(StepReport::loss).toList();
    }

    private List<Double> lossesAlone(boolean fourBit, int steps, long seed) {
        FineTuner.Builder alone =
                tuner(steps, seed).model(model).device(Fixtures.device()).precision(Precision.FP32);
        try (FineTunedModel tuned = withMethod(alone, fourBit).train()) {
            return losses(tuned);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void answersStayWhileTrainingsLearnAsAlone(boolean fourBit) {
        List<Double> first = lossesAlone(fourBit, 12, 1);
        List<Double> second = lossesAlone(fourBit, 12, 2);
        try (LanguageModel base = load(fourBit)) {
            List<String> before = answers(base);
            CompletableFuture<Void> trained = new CompletableFuture<>();
            List<CompletableFuture<Integer>> chats = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                chats.add(CompletableFuture.supplyAsync(() -> chatUntil(base, before, trained), OwnThread.EACH));
            }
            TrainingJob one = withMethod(tuner(12, 1).model(base), fourBit).start();
            TrainingJob two = withMethod(tuner(12, 2).model(base), fourBit).start();
            try (FineTunedModel tunedOne = one.await();
                    FineTunedModel tunedTwo = two.await()) {
                trained.complete(null);
                chats.forEach(chat -> assertTrue(chat.join() > 0));
                assertEquals(first, losses(tunedOne));
                assertEquals(second, losses(tunedTwo));
                assertSame(base, tunedOne.base());
                assertNotEquals(before, answers(tunedOne));
                assertEquals(before, answers(base));
                tunedOne.save(folder.resolve("adapter"));
                try (Adapter again = base.loadAdapter(folder.resolve("adapter"))) {
                    assertEquals(answers(tunedOne), answers(again));
                }
            }
            assertEquals(before, answers(base), "what is tuned is closed, its base is not");
        }
    }

    /** @return how many answers there were */
    private static int chatUntil(LanguageModel base, List<String> expected, CompletableFuture<Void> end) {
        int count = 0;
        do {
            for (int i = 0; i < QUESTIONS.size(); i++) {
                assertEquals(
                        expected.get(i),
                        base.reply(ChatRequest.of(QUESTIONS.get(i), SHORT)).text());
                count++;
            }
        } while (!end.isDone());
        return count;
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void closingTheBaseEndsTheTraining(boolean paused) throws InterruptedException {
        CountDownLatch begun = new CountDownLatch(2);
        LanguageModel base = load(true);
        TrainingJob job = tuner(1_000_000, 1)
                .model(base)
                .qlora()
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        begun.countDown();
                    }
                })
                .start();
        assertTrue(begun.await(60, TimeUnit.SECONDS));
        if (paused) {
            job.pause();
        }
        base.close();
        IllegalStateException e = assertThrows(IllegalStateException.class, job::await);
        assertTrue(e.getMessage().contains("closed"), e.getMessage());
    }

    @Test
    void aTrainingThatFailsLeavesTheBase() {
        try (LanguageModel base = load(false)) {
            List<String> before = answers(base);
            FineTuner.Builder failing = FineTuner.builder()
                    .model(base)
                    .dataset(data)
                    .lora(l -> l.rank(2))
                    .training(t -> t.maxSteps(12).learningRate(1e30));
            assertThrows(TrainingException.class, failing::train);
            assertEquals(before, answers(base));
            try (FineTunedModel tuned =
                    withMethod(tuner(12, 1).model(base), false).train()) {
                assertEquals(lossesAlone(false, 12, 1), losses(tuned));
            }
        }
    }

    @Test
    void aTunedModelEndsWithItsBase() {
        LanguageModel base = load(false);
        try (FineTunedModel tuned = tuner(2, 1).model(base).lora(l -> l.rank(2)).train()) {
            assertFalse(tuned.ask("Hello").isBlank() && tuned.report().steps().isEmpty());
            base.close();
            assertThrows(IllegalStateException.class, () -> tuned.ask("Hello"));
            assertThrows(IllegalStateException.class, () -> tuned.save(folder.resolve("late")));
        }
        assertThrows(
                IllegalStateException.class,
                () -> tuner(2, 1).model(base).lora(l -> l.rank(2)).train());
    }

    @Test
    void whatWasChosenWithLoadingIsNotChosenAgain() {
        try (LanguageModel base = load(false)) {
            FineTuner.Builder builder = tuner(2, 1)
                    .model(base)
                    .qlora()
                    .device(Fixtures.device())
                    .chatTemplate("chatml")
                    .keepDequantized();
            SettingsException e = assertThrows(SettingsException.class, builder::build);
            assertEquals(3, e.problems().size(), e.getMessage());
            assertTrue(e.getMessage().contains("leave out device(…), chatTemplate(…)"), e.getMessage());
            assertTrue(e.getMessage().contains("quantize(QuantSettings.nf4())"), e.getMessage());
            assertTrue(e.getMessage().contains("keepDequantized()"), e.getMessage());
            FineTuner.Builder full = tuner(2, 1).model(base).full();
            e = assertThrows(SettingsException.class, full::build);
            assertTrue(e.getMessage().contains("train an adapter"), e.getMessage());
            assertThrows(IllegalStateException.class, () -> full.model(model));
        }
    }

    @Test
    void thePlanCountsTheBaseOnce() {
        try (LanguageModel base = load(true)) {
            long loaded = tuner(2, 1).model(base).lora(l -> l.rank(2)).plan().peak();
            long folderOnly = tuner(2, 1)
                    .model(model)
                    .device(Fixtures.device())
                    .precision(Precision.FP32)
                    .qlora(l -> l.rank(2))
                    .plan()
                    .peak();
            assertEquals(folderOnly, loaded);
        }
    }
}
