package dev.finetune4j.core.generate;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Something one can chat with: a base model, an adapter on it, or the result of a fine-tuning. Sessions and replies of one
 * model may run in several threads at once, one thread per session.
 *
 * <p>Closing a model or an adapter waits for the token that each of them is at; replies that are not finished then, and later
 * ones, end with {@link IllegalStateException}. The sessions themselves are closed by whoever opened them, before or after.
 */
public interface ChatModel {
    /** Asks one question in a conversation of its own and returns the likeliest answer of at most 512 tokens. */
    default String ask(String question) {
        Arguments.given(question, "ask(question)");
        return reply(Conversation.of(ChatMessage.user(question)), GenerationSettings.greedy(), piece -> {})
                .text();
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
    ChatSession chat(GenerationSettings settings, @Nullable String system);

    /**
     * The next message of a given conversation, such as a server gets with each request. Nothing is remembered afterwards.
     *
     * @param conversation what was said so far; its last message is the one to answer
     * @param sink gets printable pieces while the answer is generated; joined they are the answer
     * @throws IllegalArgumentException if the chat template cannot write the conversation
     * @throws IllegalStateException if the model is closed, or gets closed meanwhile
     * @throws java.util.concurrent.RejectedExecutionException when other replies are in progress and too many wait, see {@link BatchSettings#maxWaiting}
     * @throws dev.finetune4j.core.FineTune4jException when the conversation is longer than the model's context
     */
    Reply reply(Conversation conversation, GenerationSettings settings, Consumer<String> sink);

    /**
     * Begins to answer a conversation and returns at once. The models of this library compute a token of every reply in progress
     * together, those of the adapters of one base too; others may answer before this returns.
     *
     * @param conversation what was said so far; its last message is the one to answer
     * @param sink gets printable pieces in order while the answer is generated, in a thread of the library; joined they are the
     *     answer. What it throws ends the reply
     * @throws IllegalArgumentException if the chat template cannot write the conversation
     * @throws IllegalStateException if the model is closed
     * @throws java.util.concurrent.RejectedExecutionException when too many replies wait for their turn, see {@link BatchSettings#maxWaiting}
     * @throws dev.finetune4j.core.FineTune4jException when the conversation is longer than the model's context, or the memory
     *     for the batch
     */
    default Completion submit(Conversation conversation, GenerationSettings settings, Consumer<String> sink) {
        return Answered.of(() -> reply(conversation, settings, sink));
    }

    /**
     * Answers conversations, many at a time.
     *
     * @return an answer for each, in order
     * @throws RuntimeException as {@link Completion#join} of the first that fails; the others are cancelled
     */
    default List<Reply> generate(List<Conversation> conversations, GenerationSettings settings) {
        return Answered.all(this, conversations, settings);
    }
}
