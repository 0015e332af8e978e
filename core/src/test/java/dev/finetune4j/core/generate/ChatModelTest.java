package dev.finetune4j.core.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** A lambda in the place of a model, as in an application's unit tests. */
class ChatModelTest {
    private final ChatModel fake = request -> {
        List<ChatMessage> messages = request.conversation().messages();
        return Reply.of(
                messages.size() + ": " + messages.get(messages.size() - 1).content());
    };

    @Test
    void aLambdaServesEveryWayToAsk() {
        assertEquals("1: Hi", fake.ask("Hi"));
        assertEquals(
                List.of("1: a", "1: b"),
                fake.generate(List.of(ChatRequest.of("a"), ChatRequest.of("b"))).stream()
                        .map(Reply::text)
                        .toList());
        StringBuilder pieces = new StringBuilder();
        Completion completion = fake.submit(ChatRequest.of("c"), delta -> pieces.append(delta.content()));
        assertTrue(completion.isDone());
        assertEquals("1: c", completion.join().text());
        assertEquals("1: c", pieces.toString());
        try (ChatSession session = fake.chat(GenerationSettings.greedy(), "Be brief.")) {
            assertEquals("2: one", session.send("one"));
            assertEquals("4: two", session.send("two"));
            assertEquals(5, session.messages().size());
            session.reset();
            assertEquals("2: three", session.send("three"));
        }
    }

    @Test
    void aStreamGivesThePiecesOnceAndTheWhole() {
        try (ReplyStream stream = fake.stream(ChatRequest.of("d"))) {
            List<String> pieces = new ArrayList<>();
            for (ReplyDelta delta : stream) {
                pieces.add(delta.content());
            }
            assertEquals(List.of("1: d"), pieces);
            assertEquals("1: d", stream.reply().text());
            assertThrows(IllegalStateException.class, stream::iterator);
        }
        ChatModel broken = request -> {
            throw new IllegalStateException("broken");
        };
        try (ReplyStream stream = broken.stream(ChatRequest.of("d"))) {
            assertThrows(IllegalStateException.class, () -> stream.iterator().hasNext());
        }
    }

    @Test
    void choicesDrawBySeedsOfTheirOwn() {
        ChatModel seeds = request -> Reply.of("" + request.settings().seed());
        ChatRequest request = ChatRequest.builder()
                .messages(ChatMessage.user("Hi"))
                .settings(s -> s.temperature(1).seed(40))
                .build();
        assertEquals(
                List.of("40", "41", "42"),
                seeds.choices(request, 3).stream().map(Reply::text).toList());
        assertThrows(IllegalArgumentException.class, () -> seeds.choices(request, 0));
    }

    /** A reply that is made when it is waited for. */
    private record Waited(Reply reply, AtomicInteger open) implements Completion {
        @Override
        public Reply join() {
            open.decrementAndGet();
            return reply;
        }

        @Override
        public void cancel() {
            open.set(Integer.MIN_VALUE);
        }

        @Override
        public boolean isDone() {
            return false;
        }

        @Override
        public CompletionStage<Reply> stage() {
            return CompletableFuture.completedStage(reply);
        }
    }

    @Test
    void aListWaitsWhereOnlyFewMayWait() {
        AtomicInteger open = new AtomicInteger();
        AtomicInteger room = new AtomicInteger(2);
        ChatModel narrow = new ChatModel() {
            @Override
            public Reply reply(ChatRequest request) {
                return submit(request, delta -> {}).join();
            }

            @Override
            public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
                if (open.get() >= room.get()) {
                    throw new RejectedExecutionException(room + " wait already");
                }
                open.incrementAndGet();
                return new Waited(
                        Reply.of(request.conversation().messages().get(0).content()), open);
            }
        };
        List<ChatRequest> requests =
                IntStream.range(0, 7).mapToObj(i -> ChatRequest.of("q" + i)).toList();
        assertEquals(
                List.of("q0", "q1", "q2", "q3", "q4", "q5", "q6"),
                narrow.generate(requests).stream().map(Reply::text).toList());
        room.set(0);
        assertThrows(RejectedExecutionException.class, () -> narrow.generate(requests));
    }

    @Test
    void aSubscriberThatThrowsEndsTheReply() {
        AtomicInteger open = new AtomicInteger();
        ChatModel waiting = new ChatModel() {
            @Override
            public Reply reply(ChatRequest request) {
                throw new UnsupportedOperationException();
            }

            @Override
            public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
                sink.accept(Reply.of("a").delta());
                return new Waited(Reply.of("a"), open);
            }
        };
        Collector broken = new Collector() {
            @Override
            public void onNext(ReplyDelta delta) {
                throw new IllegalStateException("no room");
            }
        };
        waiting.publisher(ChatRequest.of("d")).subscribe(broken);
        assertThrows(IllegalStateException.class, () -> broken.subscription.request(1));
        assertEquals(Integer.MIN_VALUE, open.get(), "cancelled");
    }

    /** Collects what a publisher gives, as much as it asks for. */
    private static class Collector implements Flow.Subscriber<ReplyDelta> {
        final List<String> pieces = new ArrayList<>();
        final AtomicReference<Object> end = new AtomicReference<>();
        Flow.Subscription subscription;

        @Override
        public void onSubscribe(Flow.Subscription given) {
            subscription = given;
        }

        @Override
        public void onNext(ReplyDelta delta) {
            pieces.add(delta.content());
        }

        @Override
        public void onError(Throwable thrown) {
            end.set(thrown);
        }

        @Override
        public void onComplete() {
            end.set("complete");
        }
    }

    @Test
    void aPublisherKeepsToTheDemand() {
        ChatModel three = new ChatModel() {
            @Override
            public Reply reply(ChatRequest request) {
                return Reply.of("abc");
            }

            @Override
            public Reply reply(ChatRequest request, Consumer<ReplyDelta> sink) {
                for (String piece : List.of("a", "b", "c")) {
                    sink.accept(new ReplyDelta(piece, "", List.of(), List.of()));
                }
                return reply(request);
            }
        };
        Collector slow = new Collector();
        three.publisher(ChatRequest.of("Hi")).subscribe(slow);
        assertEquals(List.of(), slow.pieces);
        slow.subscription.request(2);
        assertEquals(List.of("a", "b"), slow.pieces);
        assertEquals(null, slow.end.get());
        slow.subscription.request(5);
        assertEquals(List.of("a", "b", "c"), slow.pieces);
        assertEquals("complete", slow.end.get());

        Collector cancelled = new Collector();
        three.publisher(ChatRequest.of("Hi")).subscribe(cancelled);
        cancelled.subscription.request(1);
        cancelled.subscription.cancel();
        cancelled.subscription.request(5);
        assertEquals(List.of("a"), cancelled.pieces);
        assertEquals(null, cancelled.end.get());

        Collector wrong = new Collector();
        three.publisher(ChatRequest.of("Hi")).subscribe(wrong);
        wrong.subscription.request(0);
        assertInstanceOf(IllegalArgumentException.class, wrong.end.get());

        Collector failed = new Collector();
        ChatModel broken = request -> {
            throw new IllegalStateException("broken");
        };
        broken.publisher(ChatRequest.of("Hi")).subscribe(failed);
        assertInstanceOf(IllegalStateException.class, failed.end.get());
    }

    @Test
    void requestsSayWhatTheyLack() {
        assertThrows(SettingsException.class, () -> ChatRequest.builder().build());
        SettingsException tooMany = assertThrows(
                SettingsException.class,
                () -> ChatRequest.of("Hi").toBuilder().topLogprobs(21).build());
        assertTrue(tooMany.getMessage().contains("topLogprobs must be 0 to 20"), tooMany.getMessage());
    }

    @Test
    void aReplyWithCallsGoesOnAsAConversation() {
        ToolCall call = new ToolCall("call00100", "get_weather", "{\"city\": \"Paris\", \"days\": [1, 2]}");
        assertEquals(Map.of("city", "Paris", "days", List.of(1, 2)), call.values());
        Reply reply = new Reply("", "Ask.", List.of(call), FinishReason.TOOL_CALLS, new Usage(7, 0, 5, 2), List.of());
        assertEquals(12, reply.usage().totalTokens());
        ChatMessage message = reply.message();
        assertEquals(
                List.of("reasoning_content", "tool_calls"),
                List.copyOf(message.fields().keySet()));
        assertTrue(message.fields().get("tool_calls").toString().contains("Paris"), message.toString());
        ChatMessage result = call.result("18 degrees");
        assertEquals(Map.of("tool_call_id", "call00100", "name", "get_weather"), result.fields());
        Conversation longer = Conversation.of(ChatMessage.user("Weather?"), message, result);
        assertEquals(3, longer.messages().size());
        assertEquals(
                Map.of(),
                new Reply("Yes.", "Hm.", List.of(), FinishReason.STOP, new Usage(0, 0, 0, 0), List.of())
                        .message()
                        .fields());
        assertThrows(IllegalArgumentException.class, () -> new ToolCall("a", "b", "[1]"));
    }
}
