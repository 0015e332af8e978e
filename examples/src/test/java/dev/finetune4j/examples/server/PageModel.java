package dev.finetune4j.examples.server;

import dev.finetune4j.FineTuner;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.generate.Usage;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Stands in for a model with one adapter: some questions have answers that a page can be tried with. */
final class PageModel implements ServedModel {
    static final String ADAPTER = "atlas";

    private static final int LINES = 500;
    private static final int LINE_MILLIS = 8;

    private final Set<String> refused = ConcurrentHashMap.newKeySet();
    private final AtomicInteger cancelled = new AtomicInteger();

    @Override
    public Set<String> adapters() {
        return Set.of(ADAPTER);
    }

    @Override
    public List<TokenLogprob> score(@Nullable String adapter, String text) {
        throw new UnsupportedOperationException();
    }

    @Override
    public int countTokens(String text) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void loadAdapter(String name, Path folder) {
        throw new UnsupportedOperationException();
    }

    @Override
    public boolean unloadAdapter(String name) {
        throw new UnsupportedOperationException();
    }

    @Override
    public FineTuner.Builder tuner() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}

    @Override
    public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
        String question = question(request.conversation());
        if (question.equals("busy") && refused.add(String.valueOf(request.adapter()))) {
            throw new RejectedExecutionException("all places are taken");
        }
        if (question.equals("too long")) {
            throw new FineTune4jException("600 tokens, but 512 at most");
        }
        Written written = new Written();
        new Thread(() -> written.write(question, request, sink), "page-model").start();
        return written;
    }

    private static String question(Conversation conversation) {
        List<ChatMessage> messages = conversation.messages();
        return messages.get(messages.size() - 1).content();
    }

    private List<String> pieces(String question, ChatRequest request) {
        return switch (question) {
            case "Who are you?" -> List.of("I am ", request.adapter() == null ? "a small model" : "**Atlas**", ".");
            case "你是谁？", "你是谁？\n2" -> List.of("我是 ", "**Atlas**。");
            case "how many messages" -> List.of(count(request.conversation()));
            case "settings" -> List.of(settings(request));
            case "markup" -> List.of("<img src=x onerror=", "\"document.title=1\"> [link](javascript:alert(1))");
            case "code" -> List.of("Here:\n```java\nint x = 1;\n", "int y = 2;\n```\n");
            case "thoughts" -> List.of("Done.");
            case "count slowly" ->
                IntStream.range(0, LINES).mapToObj(i -> "line " + i + "\n\n").toList();
            case "how many were cancelled" -> List.of(String.valueOf(cancelled.get()));
            case "busy" -> List.of("Free.");
            case "failure" -> List.of("So ", "far");
            default -> throw new AssertionError("no answer to " + question);
        };
    }

    private static String count(Conversation conversation) {
        return String.valueOf(conversation.messages().stream()
                .filter(message -> message.role() != Role.SYSTEM)
                .count());
    }

    private static String settings(ChatRequest request) {
        return "temperature " + request.settings().temperature() + ", seed "
                + request.settings().seed() + ", system "
                + request.conversation().system().orElse("none") + ", thinking "
                + request.conversation().templateVariables().get("enable_thinking");
    }

    /** An answer that is written by a thread of its own. */
    private final class Written implements Completion {
        private final CompletableFuture<Reply> reply = new CompletableFuture<>();
        private volatile boolean ends;

        void write(String question, ChatRequest request, Consumer<ReplyDelta> sink) {
            try {
                reply.complete(answer(question, request, sink));
            } catch (RuntimeException | Error | InterruptedException e) {
                reply.completeExceptionally(e);
            }
        }

        private Reply answer(String question, ChatRequest request, Consumer<ReplyDelta> sink)
                throws InterruptedException {
            StringBuilder text = new StringBuilder();
            String thoughts = question.equals("thoughts") ? "Hm." : "";
            int tokens = 0;
            if (!thoughts.isEmpty()) {
                sink.accept(new ReplyDelta("", thoughts, List.of(), List.of()));
            }
            for (String piece : pieces(question, request)) {
                if (ends) {
                    cancelled.incrementAndGet();
                    break;
                }
                sink.accept(new ReplyDelta(piece, "", List.of(), List.of()));
                text.append(piece);
                tokens++;
                TimeUnit.MILLISECONDS.sleep(question.equals("count slowly") ? LINE_MILLIS : 1);
            }
            if (question.equals("failure")) {
                throw new FineTune4jException("the model has failed");
            }
            FinishReason reason = ends ? FinishReason.CANCELLED : FinishReason.STOP;
            return new Reply(text.toString(), thoughts, List.of(), reason, new Usage(1, 0, tokens, 0), List.of());
        }

        @Override
        public Reply join() {
            return reply.join();
        }

        @Override
        public void cancel() {
            ends = true;
        }

        @Override
        public boolean isDone() {
            return reply.isDone();
        }

        @Override
        public CompletionStage<Reply> stage() {
            return reply;
        }
    }
}
