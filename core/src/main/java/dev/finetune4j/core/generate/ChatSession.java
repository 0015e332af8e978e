package dev.finetune4j.core.generate;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A conversation with a model: it remembers what was said. What the model computed for it stays in a prompt cache, so a turn
 * costs only its own tokens.
 *
 * <p>A session serves one thread at a time: while one is in {@link #stream}, another that sends or resets is refused, as is the
 * sink itself. If a reply fails or its sink throws, the conversation is as it was before the call.
 *
 * <p>It borrows the model: once that is closed, replies end with {@link IllegalStateException}. Any thread may close the
 * session, the sink too; a reply in progress then ends with {@link IllegalStateException} at its next token.
 */
public interface ChatSession extends AutoCloseable {
    /**
     * A session that keeps the messages and leaves the answers to a model; for those who implement {@link ChatModel}.
     *
     * @param model answers
     * @param settings used by every reply
     * @param system the system message, or null for the template's default
     * @param onClose called when the session is closed
     */
    static ChatSession of(ChatModel model, GenerationSettings settings, @Nullable String system, Runnable onClose) {
        Arguments.given(model, "of(model)");
        Arguments.given(settings, "chat(settings)");
        return new RememberedChat(model, settings, system, onClose);
    }

    /**
     * Sends a message and waits for the whole answer.
     *
     * @throws IllegalStateException if the session, its model or its adapter is closed or gets closed meanwhile, or if another
     *     thread is in a reply of this session
     * @throws dev.finetune4j.core.FineTune4jException when the conversation has outgrown the model's context
     */
    String send(String message);

    /**
     * Sends a message and hands the answer out piece by piece while it is generated.
     *
     * @param message what the user says
     * @param sink gets printable pieces of the answer, without thoughts; joined they are its text
     * @throws IllegalStateException if the session, its model or its adapter is closed or gets closed meanwhile, or if another
     *     thread is in a reply of this session
     * @throws dev.finetune4j.core.FineTune4jException when the conversation has outgrown the model's context
     */
    Reply stream(String message, Consumer<String> sink);

    /**
     * Forgets the conversation but not the system message.
     *
     * @throws IllegalStateException if the session is closed, or in the middle of a reply
     */
    void reset();

    /** The conversation so far, system message included; a reply that is not finished is not part of it. */
    List<ChatMessage> messages();

    /** Frees the prompt cache, once the token in progress is through. Closing twice is fine. */
    @Override
    void close();
}
