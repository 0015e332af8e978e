package dev.finetune4j.data;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * A conversation to learn from: training teaches the model to write its assistant messages.
 *
 * @param conversation ends with an assistant message that is not blank
 * @param where the place that errors name
 */
public record SftExample(Conversation conversation, Provenance where) {
    /** @throws IllegalArgumentException if the conversation does not end with an answer, or with a blank one */
    public SftExample {
        Arguments.given(where, "SftExample(where)");
        Arguments.given(conversation, "SftExample(conversation)");
        List<ChatMessage> messages = conversation.messages();
        ChatMessage last = messages.get(messages.size() - 1);
        if (last.role() != Role.ASSISTANT) {
            throw new IllegalArgumentException("message " + (messages.size() - 1) + " is the last and of the role "
                    + last.role()
                    + ", but an example must end with an assistant message, which is what training teaches;"
                    + " add the answer or drop the message");
        }
        if (last.content().isBlank()) {
            throw new IllegalArgumentException("message " + (messages.size() - 1)
                    + " is the answer to learn, but it is blank; give it a text or drop the example");
        }
    }

    /**
     * An example made in the program.
     *
     * @throws IllegalArgumentException if the conversation does not end with an answer, or with a blank one
     */
    public static SftExample of(Conversation conversation) {
        return new SftExample(conversation, Provenance.inMemory(0));
    }

    /**
     * A question and its answer.
     *
     * @throws IllegalArgumentException if the answer is blank
     */
    public static SftExample of(String instruction, String answer) {
        return of(Conversation.of(ChatMessage.user(instruction), ChatMessage.assistant(answer)));
    }

    /** What an error calls the message: the field it came from, or its place and role. */
    String describe(int message) {
        String field = field(message);
        return field != null
                ? "field \"" + field + "\""
                : "message " + message + " (" + roleName(conversation.messages().get(message)) + ")";
    }

    @Nullable
    String field(int message) {
        return message < where.fields().size() ? where.fields().get(message) : null;
    }

    private static String roleName(ChatMessage message) {
        return message.role().name().toLowerCase(Locale.ROOT);
    }
}
