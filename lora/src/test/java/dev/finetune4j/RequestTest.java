package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.ReplyStream;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Flow;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a request can ask for, of a reply alone and of one in a batch; random weights say something for a long time. */
@Timeout(120)
class RequestTest {
    private static LanguageModel model;
    private static Tokenizer tokenizer;

    @BeforeAll
    static void load(@TempDir Path temporary) {
        Path folder = Fixtures.tinyChatModel(temporary.resolve("model"));
        model = LanguageModel.loader(folder)
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .load();
        tokenizer = Tokenizer.load(folder);
    }

    @AfterAll
    static void close() {
        model.close();
        tokenizer.close();
    }

    private static ChatRequest request(UnaryOperator<GenerationSettings.Builder> settings) {
        return ChatRequest.builder()
                .messages(ChatMessage.user("Hello"))
                .settings(s -> settings.apply(s))
                .build();
    }

    /** The reply alone, after a look that the batch gives the same. */
    private static Reply reply(ChatRequest request) {
        StringBuilder pieces = new StringBuilder();
        Reply alone = model.reply(request, delta -> pieces.append(delta.content()));
        assertEquals(alone.text(), pieces.toString());
        StringBuilder others = new StringBuilder();
        Completion batched = model.submit(request, delta -> others.append(delta.content()));
        assertSame(alone, batched.join(), "in the batch");
        assertEquals(alone.text(), others.toString());
        return alone;
    }

    /** The same but for what the order of sums leaves of probabilities. */
    private static void assertSame(Reply expected, Reply actual, String what) {
        assertEquals(withoutLogprobs(expected), withoutLogprobs(actual), what);
        assertEquals(expected.logprobs().size(), actual.logprobs().size(), what);
        for (int t = 0; t < expected.logprobs().size(); t++) {
            assertEquals(
                    expected.logprobs().get(t).logprob(),
                    actual.logprobs().get(t).logprob(),
                    1e-4,
                    what);
        }
    }

    private static Reply withoutLogprobs(Reply reply) {
        return new Reply(
                reply.text(), reply.reasoning(), reply.toolCalls(), reply.finishReason(), reply.usage(), List.of());
    }

    @Test
    void aStopStringEndsTheAnswerWhereverTokensEnd() {
        Reply whole = reply(request(s -> s.maxNewTokens(40)));
        assertEquals(FinishReason.LENGTH, whole.finishReason());
        String text = whole.text();
        int rounds = Boolean.getBoolean("finetune4j.long") ? text.length() : 6;
        Random random = new Random(5);
        for (int round = 0; round < rounds; round++) {
            int start = random.nextInt(text.length() - 5);
            start -= Character.isLowSurrogate(text.charAt(start)) ? 1 : 0;
            int end = start + 1 + random.nextInt(5);
            end += end < text.length() && Character.isLowSurrogate(text.charAt(end)) ? 1 : 0;
            String stop = text.substring(start, end);
            Reply cut = reply(request(s -> s.maxNewTokens(40).stop("never in there", stop)));
            assertEquals(text.substring(0, text.indexOf(stop)), cut.text(), "stop at " + stop);
            assertEquals(FinishReason.STOP, cut.finishReason());
            assertTrue(cut.usage().completionTokens() <= 40);
        }
    }

    @Test
    void noEndTokenComesTooEarly() {
        int end = tokenizer.idOf(tokenizer.eosToken().orElseThrow()).orElseThrow();
        Map<Integer, Double> ends = model.encoder().stopIds().stream().collect(Collectors.toMap(id -> id, id -> 100.0));
        assertTrue(ends.containsKey(end));
        Reply none = reply(request(s -> s.maxNewTokens(9).logitBias(ends)));
        assertEquals(FinishReason.STOP, none.finishReason());
        assertEquals(0, none.usage().completionTokens());
        Reply five = reply(request(s -> s.maxNewTokens(9).minNewTokens(5).logitBias(ends)));
        assertEquals(FinishReason.STOP, five.finishReason());
        assertEquals(5, five.usage().completionTokens());
    }

    @Test
    void aBiasForbidsAndForcesTokens() {
        int forced = tokenizer.encode("a")[0];
        Reply same = reply(request(s -> s.maxNewTokens(6).logitBias(Map.of(forced, 100.0))));
        assertEquals("a".repeat(6), same.text());
        Reply free =
                reply(request(s -> s.maxNewTokens(6)).toBuilder().topLogprobs(0).build());
        int first = free.logprobs().get(0).id();
        Reply other = reply(request(s -> s.maxNewTokens(6).logitBias(Map.of(first, -100.0))).toBuilder()
                .topLogprobs(0)
                .build());
        assertTrue(other.logprobs().stream().noneMatch(token -> token.id() == first));
        SettingsException refused =
                assertThrows(SettingsException.class, () -> reply(request(s -> s.logitBias(Map.of(1 << 20, 1.0)))));
        assertTrue(refused.getMessage().contains("logitBias names the token 1048576"), refused.getMessage());
    }

    @Test
    void probabilitiesComeWithThePiecesAndChangeNothing() {
        ChatRequest plain = request(s -> s.maxNewTokens(12).temperature(0.9).seed(3));
        ChatRequest asked = plain.toBuilder().topLogprobs(4).build();
        Reply reply = reply(asked);
        assertEquals(reply(plain).text(), reply.text());
        assertEquals(reply.usage().completionTokens(), reply.logprobs().size());
        List<TokenLogprob> told = new ArrayList<>();
        model.reply(asked, delta -> told.addAll(delta.logprobs()));
        assertEquals(reply.logprobs(), told);
        for (TokenLogprob token : reply.logprobs()) {
            assertEquals(4, token.top().size());
            assertTrue(token.logprob() <= token.top().get(0).logprob());
            assertTrue(token.top().stream()
                            .mapToDouble(top -> Math.exp(top.logprob()))
                            .sum()
                    <= 1 + 1e-6);
        }
        Reply greedy =
                reply(request(s -> s.maxNewTokens(5)).toBuilder().topLogprobs(1).build());
        greedy.logprobs()
                .forEach(token -> assertEquals(token.id(), token.top().get(0).id()));
    }

    @Test
    void choicesAreThoseOfTheirSeeds() {
        ChatRequest request = request(s -> s.maxNewTokens(10).temperature(1.5).seed(100));
        int prompt = model.countTokens(request.conversation());
        try (Adapter adapter = new Adapter(model, DecoderCases.adapter(model.model(), 1, 0.2))) {
            for (ChatModel one : List.of(model, adapter)) {
                List<Reply> choices = one.choices(request, 4);
                assertEquals(4, choices.stream().map(Reply::text).distinct().count());
                int computed = 0;
                for (int i = 0; i < 4; i++) {
                    long seed = 100L + i;
                    Reply alone = one.reply(
                            request(s -> s.maxNewTokens(10).temperature(1.5).seed(seed)));
                    assertEquals(alone.text(), choices.get(i).text());
                    assertEquals(prompt, choices.get(i).usage().promptTokens());
                    computed += prompt - choices.get(i).usage().cachedTokens();
                }
                assertEquals(prompt + 3, computed, "the prompt once, and of each further answer its last token");
                assertEquals(
                        choices.subList(0, 2).stream().map(Reply::text).toList(),
                        one.choices(request, 70).stream()
                                .limit(2)
                                .map(Reply::text)
                                .toList(),
                        "more than run at once");
            }
        }
    }

    @Test
    void streamsGiveTheSameAndCanBeClosed() throws Exception {
        ChatRequest request = request(s -> s.maxNewTokens(30));
        Reply expected = reply(request);
        StringBuilder text = new StringBuilder();
        try (ReplyStream stream = model.stream(request)) {
            stream.forEach(delta -> text.append(delta.content()));
            assertEquals(expected, stream.reply());
        }
        assertEquals(expected.text(), text.toString());
        ChatRequest endless = request(s -> s.maxNewTokens(400));
        ReplyStream closed = model.stream(endless);
        closed.iterator().next();
        closed.close();
        assertEquals(FinishReason.CANCELLED, closed.reply().finishReason());
        assertTrue(closed.reply().usage().completionTokens() < 400);

        try (ReplyStream stream = model.stream(endless)) {
            Thread.currentThread().interrupt();
            stream.forEach(delta -> {});
            assertTrue(Thread.interrupted());
            assertEquals(FinishReason.CANCELLED, stream.reply().finishReason());
        }
        assertEquals(expected.text(), published(request));
    }

    private static String published(ChatRequest request) throws InterruptedException {
        StringBuilder text = new StringBuilder();
        CountDownLatch end = new CountDownLatch(1);
        model.publisher(request).subscribe(new Flow.Subscriber<>() {
            private Flow.Subscription subscription;

            @Override
            public void onSubscribe(Flow.Subscription given) {
                subscription = given;
                given.request(1);
            }

            @Override
            public void onNext(ReplyDelta delta) {
                text.append(delta.content());
                subscription.request(1);
            }

            @Override
            public void onError(Throwable thrown) {
                end.countDown();
            }

            @Override
            public void onComplete() {
                end.countDown();
            }
        });
        end.await();
        return text.toString();
    }

    /** 64 requests of different lengths, settings and models at once are those of each alone. */
    @Test
    void manyAtOnceAreThoseOfEachAlone() {
        try (Adapter first = new Adapter(model, DecoderCases.adapter(model.model(), 1, 0.2));
                Adapter second = new Adapter(model, DecoderCases.adapter(model.model(), 2, 0.2))) {
            List<ChatModel> models = List.of(model, first, second);
            List<ChatRequest> requests =
                    IntStream.range(0, 64).mapToObj(RequestTest::varied).toList();
            List<Completion> begun = new ArrayList<>();
            for (int i = 0; i < 64; i++) {
                begun.add(models.get(i % 3).submit(requests.get(i), delta -> {}));
            }
            for (int i = 0; i < 64; i++) {
                Reply batched = begun.get(i).join();
                Reply alone = models.get(i % 3).reply(requests.get(i));
                assertSame(alone, batched, "request " + i);
            }
            assertFalse(first.reply(requests.get(0)).equals(model.reply(requests.get(0))));
        }
    }

    private static ChatRequest varied(int i) {
        return ChatRequest.builder()
                .messages(ChatMessage.user("Tell me " + i + " ok".repeat(i * 7 % 30)))
                .settings(s -> switch (i % 5) {
                    case 0 -> s.maxNewTokens(8);
                    case 1 -> s.maxNewTokens(1 + i).stop("e", "\n");
                    case 2 -> s.maxNewTokens(10).temperature(0.9).topP(0.9).seed(i);
                    case 3 -> s.maxNewTokens(7).repetitionPenalty(1.3).logitBias(Map.of(40 + i, 2.0));
                    default ->
                        s.maxNewTokens(12)
                                .minNewTokens(5)
                                .temperature(1.2)
                                .minP(0.05)
                                .seed(i);
                })
                .topLogprobs(i % 4 == 0 ? 2 : ChatRequest.NO_LOGPROBS)
                .build();
    }
}
