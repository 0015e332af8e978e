package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.data.DatasetFormat.Tag;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Reads the messages of a row. */
final class MessageReader {
    private static final String TOOL_CALLS = "tool_calls";
    private static final String REASONING = "reasoning_content";

    /** What a template may ask for beside role and content. */
    private static final List<String> KEPT = List.of("name", "tool_call_id", REASONING);

    private static final List<Tag> SPEAKERS =
            List.of(Tag.SYSTEM, Tag.USER, Tag.ASSISTANT, Tag.FUNCTION, Tag.OBSERVATION);

    private final RowReader reader;
    private final ToolFields tools;

    MessageReader(RowReader reader) {
        this.reader = reader;
        this.tools = new ToolFields(reader);
    }

    /** Adds the messages of a list. */
    void readAll(JsonNode messages, String field, Turns turns) {
        for (int i = 0; i < messages.size(); i++) {
            Turns.Turn turn = read(messages.get(i), field + "[" + i + "]");
            if (turn != null) {
                turns.add(turn);
            }
        }
    }

    /** One message, or null if it is reported. */
    Turns.@Nullable Turn read(JsonNode message, String field) {
        if (!message.isObject()) {
            reader.report(
                    field,
                    "is " + RowReader.describe(message) + ", expected a message, which is an object with " + keys());
            return null;
        }
        String roleKey = key(Tag.ROLE, message);
        JsonNode speaker = message.path(roleKey);
        if (!speaker.isTextual()) {
            reader.report(
                    field,
                    "does not say who speaks: \"" + roleKey + "\" is "
                            + (speaker.isMissingNode() ? "missing" : RowReader.describe(speaker))
                            + ", expected a message with "
                            + keys() + ", found " + UnknownFormat.columns(message));
            return null;
        }
        Tag tag = tagOf(speaker.textValue());
        if (tag == null) {
            reader.report(
                    field,
                    "is a message of \"" + speaker.textValue() + "\", which is no role; expected one of " + roles());
            return null;
        }
        return read(message, field, speaker.textValue(), tag);
    }

    private Turns.@Nullable Turn read(JsonNode message, String field, String speaker, Tag tag) {
        Map<String, @Nullable Object> fields = new LinkedHashMap<>();
        String contentKey = key(Tag.CONTENT, message);
        String contentField = field + "." + contentKey;
        boolean calls = tag == Tag.ASSISTANT && (message.hasNonNull(TOOL_CALLS) || message.hasNonNull("function_call"));
        String[] content = {""};
        boolean sound = reader.soundAfter(() -> {
            content[0] =
                    content(message.path(contentKey), contentField, calls || hasCallParts(message, contentKey), fields);
            for (String name : KEPT) {
                if (message.path(name).isTextual()) {
                    fields.putIfAbsent(name, reader.text(field + "." + name, message.path(name)));
                }
            }
            if (message.hasNonNull(TOOL_CALLS)) {
                fields.put(TOOL_CALLS, tools.calls(message.path(TOOL_CALLS), field + "." + TOOL_CALLS));
            } else if (calls) {
                fields.put(TOOL_CALLS, tools.calls(message.path("function_call"), field + ".function_call"));
            } else if (tag == Tag.FUNCTION) {
                fields.put(TOOL_CALLS, tools.callsInText(content[0], contentField));
                content[0] = "";
            }
        });
        if (!sound) {
            return null;
        }
        ChatMessage read = new ChatMessage(role(tag), content[0], fields);
        if (tag == Tag.ASSISTANT && content[0].isBlank() && !fields.containsKey(TOOL_CALLS)) {
            reader.report(
                    contentField, "is blank, so there is nothing to learn; give it an answer or delete the message");
            return null;
        }
        return new Turns.Turn(read, field, speaker, weight(message, field));
    }

    private static boolean hasCallParts(JsonNode message, String contentKey) {
        return message.path(contentKey)
                .valueStream()
                .anyMatch(part -> part.path("type").asText().equals("tool_call"));
    }

    private @Nullable Double weight(JsonNode message, String field) {
        JsonNode weight = message.has("loss_weight") ? message.path("loss_weight") : message.path("weight");
        if (weight.isMissingNode() || weight.isNull()) {
            return null;
        }
        if (!weight.isNumber() || !(weight.doubleValue() >= 0) || Double.isInfinite(weight.doubleValue())) {
            reader.report(field + ".loss_weight", "is " + RowReader.describe(weight) + ", expected 0 or more");
            return null;
        }
        return weight.doubleValue();
    }

    private String content(JsonNode content, String field, boolean mayLack, Map<String, @Nullable Object> fields) {
        if (content.isMissingNode() || content.isNull()) {
            if (!mayLack) {
                reader.report(field, (content.isNull() ? "is null" : "is missing") + "; a message needs " + keys());
            }
            return "";
        }
        return content.isArray() ? parts(content, field, fields) : reader.text(field, content);
    }

    /** Parts of text, one after the other; thoughts and calls of LLaMA-Factory's rows become fields of the message. */
    private String parts(JsonNode parts, String field, Map<String, @Nullable Object> fields) {
        StringBuilder text = new StringBuilder();
        List<@Nullable Object> calls = new ArrayList<>();
        for (int i = 0; i < parts.size(); i++) {
            JsonNode part = parts.get(i);
            String place = field + "[" + i + "]";
            String type = part.isObject() ? part.path("type").asText("text") : "text";
            String valueKey = part.has("value") ? "value" : "text";
            JsonNode value = part.isTextual() ? part : part.path(valueKey);
            switch (type) {
                case "text", "input_text", "output_text" -> text.append(reader.text(place + "." + valueKey, value));
                case "reasoning" ->
                    fields.merge(
                            REASONING, reader.text(place + ".value", value), (before, more) -> before + "\n" + more);
                case "tool_call" ->
                    calls.addAll(tools.callsInText(reader.text(place + ".value", value), place + ".value"));
                default ->
                    reader.report(
                            place,
                            "is a part of the type \"" + type
                                    + "\", but only text can be trained; take the part out or the" + " row");
            }
        }
        if (!calls.isEmpty()) {
            fields.put(TOOL_CALLS, calls);
        }
        return text.toString();
    }

    private String key(Tag tag, JsonNode message) {
        String name = reader.layout.tags().get(tag);
        return name != null
                ? name
                : tag.usualNames().stream()
                        .filter(message::has)
                        .findFirst()
                        .orElse(tag.usualNames().get(0));
    }

    private @Nullable Tag tagOf(String speaker) {
        for (Tag tag : SPEAKERS) {
            if (names(tag).contains(speaker)) {
                return tag;
            }
        }
        return null;
    }

    private List<String> names(Tag tag) {
        String name = reader.layout.tags().get(tag);
        return name == null ? tag.usualNames() : name.isEmpty() ? List.of() : List.of(name);
    }

    private String keys() {
        return "\"" + String.join("\" or \"", names(Tag.ROLE)) + "\" and \""
                + String.join("\" or \"", names(Tag.CONTENT)) + "\"";
    }

    private String roles() {
        return String.join(
                ", ",
                SPEAKERS.stream()
                        .flatMap(tag -> names(tag).stream())
                        .map(name -> "\"" + name + "\"")
                        .toList());
    }

    private static Role role(Tag tag) {
        return switch (tag) {
            case SYSTEM -> Role.SYSTEM;
            case USER -> Role.USER;
            case ASSISTANT, FUNCTION -> Role.ASSISTANT;
            case OBSERVATION -> Role.TOOL;
            case ROLE, CONTENT -> throw new IllegalArgumentException(tag + " is no speaker");
        };
    }
}
