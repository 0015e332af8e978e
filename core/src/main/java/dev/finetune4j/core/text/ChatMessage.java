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

    public static ChatMessage system(String content) {
        return new ChatMessage(Role.SYSTEM, content);
    }

    public static ChatMessage user(String content) {
        return new ChatMessage(Role.USER, content);
    }

    public static ChatMessage assistant(String content) {
        return new ChatMessage(Role.ASSISTANT, content);
    }

    public static ChatMessage tool(String content) {
        return new ChatMessage(Role.TOOL, content);
    }
}
