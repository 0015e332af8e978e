package dev.finetune4j.core.generate;

import org.jspecify.annotations.Nullable;

/**
 * Something one can chat with: a base model, an adapter on it, or the result of a fine-tuning. Sessions of one model may run
 * in several threads at once, one thread per session.
 *
 * <p>Closing a model or an adapter waits for the token that each session is at; replies that are not finished then, and later
 * ones, end with {@link IllegalStateException}. The sessions themselves are closed by whoever opened them, before or after.
 */
public interface ChatModel {
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

    /** Asks one question in a conversation of its own and returns the likeliest answer of at most 512 tokens. */
    default String ask(String question) {
        try (ChatSession session = chat()) {
            return session.say(question);
        }
    }
}
