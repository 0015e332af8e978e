package dev.finetune4j.core.text;

import java.util.Objects;

/**
 * One message of a conversation.
 *
 * @param role who speaks
 * @param content what was said, exactly; text that looks like a special token is ordinary text here
 */
public record ChatMessage(Role role, String content) {
    public ChatMessage {
        Objects.requireNonNull(role, "role");
        Objects.requireNonNull(content, "content");
    }

    /** A message of the role {@code system}. */
    public static ChatMessage system(String content) {
        return new ChatMessage(Role.SYSTEM, content);
    }

    /** A message of the role {@code user}. */
    public static ChatMessage user(String content) {
        return new ChatMessage(Role.USER, content);
    }

    /** A message of the role {@code assistant}. */
    public static ChatMessage assistant(String content) {
        return new ChatMessage(Role.ASSISTANT, content);
    }

    /** A message of the role {@code tool}. */
    public static ChatMessage tool(String content) {
        return new ChatMessage(Role.TOOL, content);
    }
}
