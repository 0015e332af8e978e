package dev.finetune4j.core.text;

import dev.finetune4j.core.message.Arguments;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One message of a conversation.
 *
 * @param role who speaks
 * @param content what was said, exactly; text that looks like a special token is ordinary text here
 * @param fields what else a checkpoint's own template may ask for, such as {@code tool_calls} or
 *     {@code reasoning_content}, in the order in which the template sees it: null, booleans, numbers, texts, and lists
 *     and maps of these. A field {@code content} takes the place of the text, for a list of parts or null
 */
public record ChatMessage(Role role, String content, Map<String, @Nullable Object> fields) {
    public ChatMessage {
        Arguments.given(role, "ChatMessage(role)");
        Arguments.given(content, "ChatMessage(content)");
        fields = Collections.unmodifiableMap(new LinkedHashMap<>(Arguments.given(fields, "ChatMessage(fields)")));
    }

    /** A message of text alone. */
    public ChatMessage(Role role, String content) {
        this(role, content, Map.of());
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
