package dev.finetune4j.core.generate;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.json.PlainValues;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Role;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A call of a function that the model asks for. The application makes it and answers with {@link #result}.
 *
 * @param id names the call within its reply
 * @param name of the function
 * @param arguments a JSON object as text, as the model wrote it; checked against no schema
 */
public record ToolCall(String id, String name, String arguments) {
    /** @throws IllegalArgumentException if something is null, or the arguments are no JSON object */
    public ToolCall {
        Arguments.given(id, "ToolCall(id)");
        Arguments.given(name, "ToolCall(name)");
        JsonNode object = PlainValues.parse(Arguments.given(arguments, "ToolCall(arguments)"));
        if (object == null || !object.isObject()) {
            throw new IllegalArgumentException(
                    "the arguments of a call are a JSON object, such as {\"city\": \"Paris\"}, but were " + arguments);
        }
    }

    /**
     * What the function has returned, as the message that follows the reply: with {@code tool_call_id} and {@code name}, which some
     * templates ask for.
     */
    public ChatMessage result(String content) {
        return new ChatMessage(Role.TOOL, content, Map.of("tool_call_id", id, "name", name));
    }

    /** The arguments as values of Java: null, booleans, numbers, texts, and lists and maps of these. */
    public Map<String, @Nullable Object> values() {
        return PlainValues.object(Objects.requireNonNull(PlainValues.parse(arguments)));
    }
}
