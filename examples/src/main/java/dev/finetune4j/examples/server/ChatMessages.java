package dev.finetune4j.examples.server;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The conversation of a request: OpenAI's {@code messages} and {@code tools}, and {@code chat_template_kwargs} of vLLM. */
final class ChatMessages {
    private ChatMessages() {}

    /** @throws ApiException when there is none, or a message is not as it must be */
    static Conversation conversation(Fields request) {
        List<Fields> given = request.objects("messages").orElseThrow(() -> request.missing("messages"));
        List<ChatMessage> messages = new ArrayList<>();
        for (Fields message : given) {
            messages.add(message(message));
        }
        if (!messages.isEmpty() && messages.get(messages.size() - 1).role() == Role.ASSISTANT) {
            throw ApiException.invalid(
                    "messages", "the last message is the assistant's, but it answers a user's or a tool's; add one");
        }
        List<Map<String, @Nullable Object>> tools = tools(request);
        Map<String, @Nullable Object> variables = new LinkedHashMap<>();
        request.text("reasoning_effort").ifPresent(effort -> variables.put("reasoning_effort", effort));
        request.node("chat_template_kwargs").ifPresent(node -> variables.putAll(plain(node)));
        try {
            return new Conversation(messages, tools, variables);
        } catch (IllegalArgumentException e) {
            throw ApiException.invalid("messages", String.valueOf(e.getMessage()));
        }
    }

    private static ChatMessage message(Fields fields) {
        String role = fields.requiredText("role");
        Map<String, @Nullable Object> more = new LinkedHashMap<>();
        fields.text("name").ifPresent(name -> more.put("name", name));
        ChatMessage message = switch (role) {
            case "system", "developer" -> new ChatMessage(Role.SYSTEM, content(fields), more);
            case "user" -> new ChatMessage(Role.USER, content(fields), more);
            case "assistant" -> assistant(fields, more);
            case "tool" -> {
                more.put("tool_call_id", fields.requiredText("tool_call_id"));
                yield new ChatMessage(Role.TOOL, content(fields), more);
            }
            default ->
                throw ApiException.invalid(
                        fields.place("role"),
                        fields.place("role") + " must be one of system, developer, user, assistant and tool, but is "
                                + Texts.shortened(role));
        };
        fields.end();
        return message;
    }

    private static ChatMessage assistant(Fields fields, Map<String, @Nullable Object> more) {
        fields.refuseUnless("audio", "null", "there is no sound here");
        fields.refuseUnless("function_call", "null", "tool_calls has taken its place");
        fields.text("refusal");
        fields.text("reasoning_content").ifPresent(thoughts -> more.put("reasoning_content", thoughts));
        List<Fields> calls = fields.objects("tool_calls").orElse(List.of());
        List<Map<String, @Nullable Object>> kept = new ArrayList<>();
        for (Fields call : calls) {
            kept.add(call(call));
        }
        if (kept.isEmpty()) {
            return new ChatMessage(Role.ASSISTANT, content(fields), more);
        }
        more.put("tool_calls", kept);
        boolean none = fields.any("content").isEmpty();
        return new ChatMessage(Role.ASSISTANT, none ? "" : content(fields), more);
    }

    private static Map<String, @Nullable Object> call(Fields call) {
        String id = call.requiredText("id");
        requireFunction(call);
        Fields function = call.object("function").orElseThrow(() -> call.missing("function"));
        String name = function.requiredText("name");
        String arguments = function.requiredText("arguments");
        function.end();
        call.ignore("index");
        call.end();
        JsonNode values = parsed(arguments);
        if (!(values instanceof ObjectNode object)) {
            throw ApiException.invalid(
                    function.place("arguments"), function.place("arguments") + " must be the text of a JSON object");
        }
        return Map.of("id", id, "type", "function", "function", Map.of("name", name, "arguments", plain(object)));
    }

    private static @Nullable JsonNode parsed(String text) {
        try {
            return JsonBody.MAPPER.readTree(text);
        } catch (JsonProcessingException e) {
            return null;
        }
    }

    private static void requireFunction(Fields fields) {
        String type = fields.text("type").orElse("function");
        if (!type.equals("function")) {
            throw ApiException.invalid(
                    fields.place("type"), fields.place("type") + " must be function, but is " + Texts.shortened(type));
        }
    }

    /** The text of a message: a text, or parts that are texts, which are joined by line breaks. */
    private static String content(Fields message) {
        JsonNode node = message.any("content").orElseThrow(() -> message.missing("content"));
        if (node.isTextual()) {
            return message.requiredText("content");
        }
        if (!node.isArray()) {
            throw ApiException.invalid(
                    message.place("content"), message.place("content") + " must be a text or a list of parts");
        }
        List<String> texts = new ArrayList<>();
        for (Fields part : message.objects("content").orElse(List.of())) {
            String type = part.requiredText("type");
            if (!type.equals("text")) {
                throw ApiException.invalid(
                        part.place("type"),
                        "parts of the type " + Texts.shortened(type)
                                + " are not supported: the model reads text alone");
            }
            texts.add(part.requiredText("text"));
            part.ignore("cache_control");
            part.end();
        }
        return String.join("\n", texts);
    }

    private static List<Map<String, @Nullable Object>> tools(Fields request) {
        request.refuseUnless("functions", "[]", "tools has taken its place");
        request.refuseUnless("function_call", "null", "tool_choice has taken its place");
        request.refuseUnless("parallel_tool_calls", "true", "a model may call as many functions as it likes");
        List<Map<String, @Nullable Object>> tools = new ArrayList<>();
        for (Fields tool : request.objects("tools").orElse(List.of())) {
            requireFunction(tool);
            Fields function = tool.object("function").orElseThrow(() -> tool.missing("function"));
            function.requiredText("name");
            tool.end();
            Map<String, @Nullable Object> copy = new LinkedHashMap<>();
            copy.put("type", "function");
            copy.put("function", plain(function.node()));
            tools.add(copy);
        }
        JsonNode choice = request.any("tool_choice").orElse(null);
        if (choice == null || choice.toString().equals("\"auto\"")) {
            return tools;
        }
        if (choice.toString().equals("\"none\"")) {
            return List.of();
        }
        throw ApiException.invalid(
                "tool_choice",
                "tool_choice must be auto or none here: the model alone decides whether it calls a function; ask for it in"
                        + " the messages, or for JSON with response_format");
    }

    /** The values of an object: null, booleans, numbers, texts, and lists and maps of these. */
    private static Map<String, @Nullable Object> plain(ObjectNode object) {
        Map<String, @Nullable Object> map = new LinkedHashMap<>();
        object.properties().forEach(entry -> map.put(entry.getKey(), value(entry.getValue())));
        return map;
    }

    private static @Nullable Object value(JsonNode node) {
        return switch (node.getNodeType()) {
            case ARRAY -> {
                List<@Nullable Object> list = new ArrayList<>();
                node.forEach(item -> list.add(value(item)));
                yield list;
            }
            case OBJECT -> plain((ObjectNode) node);
            case STRING -> node.textValue();
            case NUMBER -> node.isIntegralNumber() ? node.numberValue() : (Object) node.doubleValue();
            case BOOLEAN -> node.booleanValue();
            case NULL, MISSING, BINARY, POJO -> null;
        };
    }
}
