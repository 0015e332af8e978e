package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Many replies at once against the same ones given alone, in float32. */
@Timeout(120)
class BatchTest {
    private static final GenerationSettings GREEDY =
            GenerationSettings.builder().maxNewTokens(24).build();

    @TempDir
    Path folder;

    private LanguageModel model(UnaryOperator<BatchSettings.Builder> batching) {
        return loader(batching).load();
    }

    private LanguageModel.Loader loader(UnaryOperator<BatchSettings.Builder> batching) {
        Path model = folder.resolve("model");
        if (!model.toFile().exists()) {
            Fixtures.tinyChatModel(model);
        }
        return LanguageModel.loader(model)
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .batching(batching.apply(BatchSettings.builder()).build());
    }

    private static void ignore(ReplyDelta piece) {}

    private static Conversation question(String text) {
        return Conversation.of(ChatMessage.user(text));
    }

    private static List<ChatRequest> requests(List<Conversation> questions) {
        return questions.stream()
                .map(question -> ChatRequest.of(question, GREEDY))
                .toList();
    }

    /** Questions of all lengths from one word on. */
    private static List<Conversation> questions(int count) {
        Random random = new Random(count);
        List<Conversation> questions = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            questions.add(question("Tell me " + i + " ok".repeat(random.nextInt(20))));
        }
        return questions;
    }

    private static Reply alone(ChatModel model, Conversation question, GenerationSettings settings) {
        return model.reply(ChatRequest.of(question, settings));
    }

    @Test
    void aListIsAnsweredAsEachAlone() {
        try (LanguageModel model = model(b -> b.prefillChunk(16))) {
            List<Conversation> questions = questions(70);
            List<Reply> replies = model.generate(requests(questions));
            for (int i = 0; i < questions.size(); i++) {
                assertEquals(alone(model, questions.get(i), GREEDY), replies.get(i), "question " + i);
            }
            assertEquals(List.of(), model.generate(List.of()));
        }
    }

    private Adapter adapter(LanguageModel model, long seed) {
        return new Adapter(model, DecoderCases.adapter(model.model(), seed, 0.2));
    }

    @Test
    void settingsAndAdaptersAreThoseOfEachReply() {
        try (LanguageModel model = model(b -> b);
                Adapter first = adapter(model, 1);
                Adapter second = adapter(model, 2)) {
            List<ChatModel> models = List.of(model, first, second);
            List<Conversation> questions = questions(18);
            List<Completion> begun = new ArrayList<>();
            List<StringBuilder> pieces = new ArrayList<>();
            for (int i = 0; i < questions.size(); i++) {
                StringBuilder text = new StringBuilder();
                pieces.add(text);
                begun.add(models.get(i % 3)
                        .submit(ChatRequest.of(questions.get(i), settings(i)), delta -> text.append(delta.content())));
            }
            List<Reply> replies = begun.stream().map(Completion::join).toList();
            for (int i = 0; i < questions.size(); i++) {
                Reply reply = replies.get(i);
                assertEquals(alone(models.get(i % 3), questions.get(i), settings(i)), reply, "question " + i);
                assertEquals(reply.text(), pieces.get(i).toString());
            }
            assertFalse(
                    alone(first, questions.get(0), GREEDY).equals(alone(model, questions.get(0), GREEDY)),
                    "the adapter changes nothing");
        }
    }

    /** On a GPU the weights are unpacked for good with the ninth text. */
    @Test
    void aFourBitBaseAnswersAsEachAlone() {
        try (LanguageModel model = loader(b -> b.prefillChunk(16))
                        .quantize(QuantSettings.nf4())
                        .load();
                Adapter adapter = adapter(model, 1)) {
            List<Conversation> questions = questions(24);
            List<Completion> begun = new ArrayList<>();
            for (int i = 0; i < questions.size(); i++) {
                begun.add((i % 2 == 0 ? model : adapter)
                        .submit(ChatRequest.of(questions.get(i), GREEDY), BatchTest::ignore));
            }
            List<Reply> replies = begun.stream().map(Completion::join).toList();
            for (int i = 0; i < questions.size(); i++) {
                assertEquals(
                        alone(i % 2 == 0 ? model : adapter, questions.get(i), GREEDY), replies.get(i), "question " + i);
            }
        }
    }

    private static GenerationSettings settings(int i) {
        GenerationSettings.Builder settings = GenerationSettings.builder().maxNewTokens(1 + i * 2);
        return switch (i % 4) {
            case 0 -> settings.build();
            case 1 -> settings.temperature(0.9).topP(0.95).seed(i).build();
            case 2 -> settings.repetitionPenalty(1.2).build();
            default -> settings.temperature(1.1).topK(20).seed(i).build();
        };
    }

    @Test
    void cancelledRepliesEndAndOthersGoOn() {
        try (LanguageModel model = model(b -> b)) {
            GenerationSettings endless =
                    GenerationSettings.builder().maxNewTokens(400).build();
            CountDownLatch begun = new CountDownLatch(3);
            Completion cancelled = model.submit(ChatRequest.of(question("Hello"), endless), piece -> begun.countDown());
            Completion other = model.submit(ChatRequest.of(question("Hi"), GREEDY), BatchTest::ignore);
            await(begun);
            cancelled.cancel();
            Reply part = cancelled.join();
            assertEquals(FinishReason.CANCELLED, part.finishReason());
            assertTrue(part.usage().completionTokens() >= 3 && part.usage().completionTokens() < 400, part.toString());
            assertEquals(other.join(), alone(model, question("Hi"), GREEDY));
            assertTrue(alone(model, question("Hello"), endless).text().startsWith(part.text()));
            assertTrue(cancelled.isDone());
            cancelled.cancel();
            assertSame(part, cancelled.join());
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void aSinkThatFailsEndsItsOwnReply() {
        try (LanguageModel model = model(b -> b)) {
            IllegalArgumentException broken = new IllegalArgumentException("broken");
            Completion bad = model.submit(ChatRequest.of(question("Hello"), GREEDY), piece -> {
                throw broken;
            });
            Completion good = model.submit(ChatRequest.of(question("Hi"), GREEDY), BatchTest::ignore);
            assertSame(broken, assertThrows(IllegalArgumentException.class, bad::join));
            assertEquals(good.join(), alone(model, question("Hi"), GREEDY));
            bad.stage().handle((reply, thrown) -> {
                assertSame(broken, thrown.getCause() == null ? thrown : thrown.getCause());
                return null;
            });
        }
    }

    @Test
    void aReplyThatFailsLeavesOthersAlone() {
        try (LanguageModel model = model(b -> b);
                Adapter closing = adapter(model, 1)) {
            GenerationSettings endless =
                    GenerationSettings.builder().maxNewTokens(400).build();
            CountDownLatch begun = new CountDownLatch(2);
            Completion tuned = closing.submit(ChatRequest.of(question("Hello"), endless), piece -> begun.countDown());
            Completion plain = model.submit(ChatRequest.of(question("Hi"), endless), BatchTest::ignore);
            await(begun);
            closing.close();
            assertThrows(IllegalStateException.class, tuned::join);
            assertEquals(plain.join(), alone(model, question("Hi"), endless));
            assertThrows(
                    IllegalStateException.class,
                    () -> closing.submit(ChatRequest.of(question("Hello"), GREEDY), BatchTest::ignore));
        }
    }

    @Test
    void closingTheModelEndsAll() {
        List<Completion> begun = new ArrayList<>();
        LanguageModel model = model(b -> b.maxRunning(2));
        try (model) {
            GenerationSettings endless =
                    GenerationSettings.builder().maxNewTokens(400).build();
            for (Conversation question : questions(5)) {
                begun.add(model.submit(ChatRequest.of(question, endless), BatchTest::ignore));
            }
        }
        for (Completion completion : begun) {
            assertThrows(IllegalStateException.class, completion::join);
        }
        assertThrows(
                IllegalStateException.class,
                () -> model.submit(ChatRequest.of(question("Hi"), GREEDY), BatchTest::ignore));
    }

    @Test
    void limitsAreKept() {
        try (LanguageModel model = model(b -> b.maxRunning(1).maxWaiting(1).maxTokens(512))) {
            GenerationSettings endless =
                    GenerationSettings.builder().maxNewTokens(400).build();
            CountDownLatch begun = new CountDownLatch(1);
            Completion running = model.submit(ChatRequest.of(question("Hello"), endless), piece -> begun.countDown());
            await(begun);
            Completion waiting = model.submit(ChatRequest.of(question("Hi"), GREEDY), BatchTest::ignore);
            RejectedExecutionException busy = assertThrows(
                    RejectedExecutionException.class,
                    () -> model.submit(ChatRequest.of(question("Hey"), GREEDY), BatchTest::ignore));
            assertTrue(busy.getMessage().contains("maxWaiting"), busy.getMessage());
            running.cancel();
            assertEquals(waiting.join(), alone(model, question("Hi"), GREEDY));
        }
    }

    @Test
    void textsWaitForMemory() {
        try (LanguageModel model = model(b -> b.maxTokens(128))) {
            GenerationSettings longer =
                    GenerationSettings.builder().maxNewTokens(2000).build();
            FineTune4jException refused = assertThrows(
                    FineTune4jException.class,
                    () -> model.submit(ChatRequest.of(question("Hi"), longer), BatchTest::ignore));
            assertTrue(refused.getMessage().contains("raise BatchSettings.maxTokens"), refused.getMessage());
            List<Conversation> questions = questions(6);
            List<Reply> replies = model.generate(requests(questions));
            for (int i = 0; i < questions.size(); i++) {
                assertEquals(alone(model, questions.get(i), GREEDY), replies.get(i), "question " + i);
            }
        }
    }

    @Test
    void sessionsOfManyThreadsShareTheBatch() throws Exception {
        try (LanguageModel model = model(b -> b);
                Adapter adapter = adapter(model, 3)) {
            List<List<Reply>> expected = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                expected.add(talk(i % 2 == 0 ? model : adapter, i));
            }
            ExecutorService threads = Executors.newFixedThreadPool(6);
            try {
                List<Future<List<Reply>>> talks = new ArrayList<>();
                for (int i = 0; i < 6; i++) {
                    int number = i;
                    talks.add(threads.submit(() -> talk(number % 2 == 0 ? model : adapter, number)));
                }
                for (int i = 0; i < 6; i++) {
                    assertEquals(expected.get(i), talks.get(i).get(), "talk " + i);
                }
            } finally {
                threads.shutdownNow();
            }
        }
    }

    private static List<Reply> talk(ChatModel model, int number) {
        List<Reply> replies = new ArrayList<>();
        try (ChatSession session =
                model.chat(GenerationSettings.builder().maxNewTokens(8).build())) {
            for (int turn = 0; turn < 3; turn++) {
                replies.add(session.stream("Number " + number + " in turn " + turn, piece -> {}));
            }
        }
        return replies;
    }

    @Test
    void anInterruptEndsAReplyInTheBatch() throws Exception {
        try (LanguageModel model = model(b -> b)) {
            GenerationSettings endless =
                    GenerationSettings.builder().maxNewTokens(400).build();
            CountDownLatch begun = new CountDownLatch(1);
            Completion other = model.submit(ChatRequest.of(question("Hi"), endless), piece -> begun.countDown());
            await(begun);
            AtomicReference<Reply> reply = new AtomicReference<>();
            CountDownLatch answering = new CountDownLatch(1);
            Thread thread = new Thread(() -> {
                reply.set(model.reply(ChatRequest.of(question("Hello"), endless), piece -> answering.countDown()));
                assertTrue(Thread.interrupted());
            });
            thread.start();
            await(answering);
            thread.interrupt();
            thread.join();
            assertEquals(FinishReason.INTERRUPTED, reply.get().finishReason());
            assertEquals(other.join(), alone(model, question("Hi"), endless));
        }
    }

    /** Replies that come and go at random, from several threads; a seed is printed with a failure. */
    @Test
    void randomArrivalsAndCancellations() throws Exception {
        int rounds = Boolean.getBoolean("finetune4j.long") ? 40 : 2;
        try (LanguageModel model = model(b -> b.maxRunning(7).prefillChunk(16));
                Adapter first = adapter(model, 1);
                Adapter second = adapter(model, 2)) {
            List<ChatModel> models = List.of(model, first, second);
            List<Conversation> questions = questions(12);
            Reply[][] expected = new Reply[3][questions.size()];
            for (int m = 0; m < 3; m++) {
                for (int q = 0; q < questions.size(); q++) {
                    expected[m][q] = alone(models.get(m), questions.get(q), GREEDY);
                }
            }
            for (int round = 0; round < rounds; round++) {
                ExecutorService threads = Executors.newFixedThreadPool(4);
                List<Future<?>> clients = new ArrayList<>();
                for (int client = 0; client < 4; client++) {
                    long seed = round * 100L + client;
                    clients.add(threads.submit(() -> client(models, questions, expected, seed)));
                }
                for (Future<?> client : clients) {
                    client.get();
                }
                threads.shutdown();
            }
        }
    }

    private static void client(List<ChatModel> models, List<Conversation> questions, Reply[][] expected, long seed) {
        Random random = new Random(seed);
        for (int i = 0; i < 10; i++) {
            int m = random.nextInt(models.size());
            int q = random.nextInt(questions.size());
            Completion completion = models.get(m).submit(ChatRequest.of(questions.get(q), GREEDY), BatchTest::ignore);
            if (random.nextInt(3) == 0) {
                completion.cancel();
            }
            Reply reply = completion.join();
            String what = "seed " + seed + ", reply " + i;
            if (reply.finishReason() == FinishReason.CANCELLED) {
                assertTrue(expected[m][q].text().startsWith(reply.text()), what);
            } else {
                assertEquals(expected[m][q], reply, what);
            }
        }
    }
}
