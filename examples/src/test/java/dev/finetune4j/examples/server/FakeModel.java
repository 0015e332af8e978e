package dev.finetune4j.examples.server;

import dev.finetune4j.FineTuner;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.generate.ToolCall;
import dev.finetune4j.core.generate.Usage;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Role;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Does what the question says: {@code weather} calls a function if it has one, and tells what that has returned; {@code boom} fails after a piece; {@code busy}
 * has room the third time only; {@code endless} goes on until it is cancelled, a token each millisecond; anything else is repeated.
 */
final class FakeModel implements ServedModel {
    final AtomicInteger tokens = new AtomicInteger();
    final AtomicInteger cancelled = new AtomicInteger();
    final AtomicInteger refused = new AtomicInteger();

    /** An answer in the making. */
    private final class Making implements Completion {
        private final CompletableFuture<Reply> result = new CompletableFuture<>();
        private volatile boolean ended;

        @Override
        public Reply join() {
            return result.join();
        }

        @Override
        public void cancel() {
            ended = true;
        }

        @Override
        public boolean isDone() {
            return result.isDone();
        }

        @Override
        public CompletionStage<Reply> stage() {
            return result;
        }

        private void say(ChatMessage last, int tools, Consumer<ReplyDelta> sink) {
            if (last.role() == Role.TOOL) {
                end("It is " + last.content(), List.of(), FinishReason.STOP, sink);
                return;
            }
            switch (last.content() + (tools == 1 ? " with a function" : "")) {
                case "weather with a function" ->
                    end(
                            "",
                            List.of(new ToolCall("call00100", "get_weather", "{\"city\": \"Paris\"}")),
                            FinishReason.TOOL_CALLS,
                            sink);
                case "boom" -> {
                    sink.accept(new ReplyDelta("half", "", List.of(), List.of()));
                    result.completeExceptionally(new IllegalArgumentException("the device is on fire"));
                }
                case "endless" -> endless(sink);
                default -> end(last.content(), List.of(), FinishReason.STOP, sink);
            }
        }

        private void end(String text, List<ToolCall> calls, FinishReason reason, Consumer<ReplyDelta> sink) {
            sink.accept(new ReplyDelta(text, "", calls, List.of()));
            result.complete(new Reply(text, "", calls, reason, new Usage(3, 0, 2, 0), List.of()));
        }

        private void endless(Consumer<ReplyDelta> sink) {
            int own = 0;
            while (!ended && own < 10_000) {
                tokens.incrementAndGet();
                own++;
                sink.accept(new ReplyDelta("x", "", List.of(), List.of()));
                try {
                    Thread.sleep(1);
                } catch (InterruptedException e) {
                    ended = true;
                }
            }
            cancelled.incrementAndGet();
            end("", List.of(), FinishReason.CANCELLED, sink);
        }
    }

    @Override
    public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
        List<ChatMessage> messages = request.conversation().messages();
        ChatMessage last = messages.get(messages.size() - 1);
        if (last.content().equals("busy") && refused.incrementAndGet() % 3 != 0) {
            throw new RejectedExecutionException("too many wait");
        }
        Making making = new Making();
        Thread thread =
                new Thread(() -> making.say(last, request.conversation().tools().size(), sink), "fake-model");
        thread.setDaemon(true);
        thread.start();
        return making;
    }

    @Override
    public List<TokenLogprob> score(@Nullable String adapter, String text) {
        return List.of();
    }

    @Override
    public int countTokens(String text) {
        return text.length();
    }

    @Override
    public Set<String> adapters() {
        return Set.of("org/tuned");
    }

    @Override
    public void loadAdapter(String name, Path folder) {
        throw new IllegalArgumentException("there are no adapters here");
    }

    @Override
    public boolean unloadAdapter(String name) {
        return false;
    }

    @Override
    public FineTuner.Builder tuner() {
        return FineTuner.builder();
    }

    @Override
    public void close() {
        tokens.get();
    }
}
