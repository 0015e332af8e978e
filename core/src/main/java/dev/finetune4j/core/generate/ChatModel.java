package dev.finetune4j.core.generate;

import dev.finetune4j.core.message.Arguments;
import java.util.List;
import java.util.concurrent.Flow;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Something one can chat with: a base model, an adapter on it, or the result of a fine-tuning. Any number of threads may ask one
 * model at once.
 *
 * <p>{@link #reply} is all that an implementation needs, so that in a unit test a lambda takes the place of a model:
 *
 * <pre>{@code
 * ChatModel model = request -> Reply.of("Paris");
 * }</pre>
 *
 * <p>An answer can be taken as a whole ({@link #reply(ChatRequest)}), by a callback ({@link #reply(ChatRequest, Consumer)}, {@link
 * #submit}), by a loop ({@link #stream}) and by a reactive library ({@link #publisher}); it is the same each time.
 *
 * <p>Closing a model or an adapter waits for the token that each of them is at; replies that are not finished then, and later
 * ones, end with {@link IllegalStateException}. The sessions themselves are closed by whoever opened them, before or after.
 */
@FunctionalInterface
public interface ChatModel {
    /**
     * The next message of a given conversation, such as a server gets with each request. Nothing is remembered afterwards. An
     * interrupt of the thread ends it with {@link FinishReason#INTERRUPTED}.
     *
     * @throws IllegalArgumentException if the chat template cannot write the conversation
     * @throws IllegalStateException if the model is closed, or gets closed meanwhile
     * @throws java.util.concurrent.RejectedExecutionException when other replies are in progress and too many wait, see {@link
     *     BatchSettings#maxWaiting}
     * @throws dev.finetune4j.core.FineTune4jException when the conversation is longer than the model's context
     */
    Reply reply(ChatRequest request);

    /**
     * As {@link #reply(ChatRequest)}, and hands the answer out while it is generated.
     *
     * @param sink gets the pieces of the answer in order, in this thread. What it throws ends the reply
     */
    default Reply reply(ChatRequest request, Consumer<ReplyDelta> sink) {
        Arguments.given(request, "reply(request)");
        Arguments.given(sink, "reply(sink)");
        Reply reply = reply(request);
        sink.accept(reply.delta());
        return reply;
    }

    /** Asks one question in a conversation of its own and returns the likeliest answer of at most 512 tokens. */
    default String ask(String question) {
        Arguments.given(question, "ask(question)");
        return reply(ChatRequest.of(question)).text();
    }

    /** A new conversation that always takes the likeliest token. The caller closes it. */
    default ChatSession chat() {
        return chat(GenerationSettings.greedy());
    }

    /** A new conversation. The caller closes it. */
    default ChatSession chat(GenerationSettings settings) {
        return chat(settings, null);
    }

    /**
     * A new conversation with a system message. The caller closes it.
     *
     * @param system what the model is told before the first question, or null for the chat template's default
     * @throws IllegalStateException if the model is closed
     */
    default ChatSession chat(GenerationSettings settings, @Nullable String system) {
        return ChatSession.of(this, settings, system, () -> {});
    }

    /**
     * Begins to answer and returns at once. The models of this library compute a token of every reply in progress
     * together, those of the adapters of one base too; others may answer before this returns.
     *
     * @param sink gets the pieces of the answer in order while it is generated, in a thread of the library. What it throws ends the reply
     * @throws IllegalArgumentException if the chat template cannot write the conversation
     * @throws IllegalStateException if the model is closed
     * @throws java.util.concurrent.RejectedExecutionException when too many replies wait for their turn, see {@link BatchSettings#maxWaiting}
     * @throws dev.finetune4j.core.FineTune4jException when the conversation is longer than the model's context, or the memory
     *     for the batch
     */
    default Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
        return Answered.of(() -> reply(request, sink));
    }

    /**
     * Answers requests, many at a time.
     *
     * @return an answer for each, in order
     * @throws RuntimeException as {@link Completion#join} of the first that fails; the others are cancelled
     */
    default List<Reply> generate(List<ChatRequest> requests) {
        Arguments.given(requests, "generate(requests)");
        return Answered.all(this, requests);
    }

    /**
     * Several answers to one request, as OpenAI's {@code n} asks for: each draws its tokens by itself, answer i as if the seed were
     * i higher. The models of this library compute the prompt once.
     *
     * @param n how many, at least 1
     * @throws RuntimeException as {@link #generate}
     */
    default List<Reply> choices(ChatRequest request, int n) {
        Arguments.given(request, "choices(request)");
        return generate(Answered.variants(request, Arguments.atLeast(1, n, "n")));
    }

    /**
     * Begins to answer, and gives the pieces to a loop:
     *
     * <pre>{@code
     * try (ReplyStream stream = model.stream(request)) {
     *     for (ReplyDelta delta : stream) { … }
     *     Reply reply = stream.reply();
     * }
     * }</pre>
     *
     * @throws RuntimeException as {@link #submit}
     */
    default ReplyStream stream(ChatRequest request) {
        Arguments.given(request, "stream(request)");
        return new ReplyStream(this, request);
    }

    /**
     * The pieces for a reactive library. Each subscriber gets an answer of its own, which begins when it subscribes and is
     * cancelled with its subscription; pieces are kept until they are asked for.
     */
    default Flow.Publisher<ReplyDelta> publisher(ChatRequest request) {
        Arguments.given(request, "publisher(request)");
        return new ReplyPublisher(this, request);
    }
}
