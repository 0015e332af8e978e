package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.json.JsonReader;
import dev.finetune4j.core.json.JsonSyntaxException;
import dev.finetune4j.core.json.PlainValues;
import java.io.IOException;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Schemas and calls of functions in the form that chat templates expect, which is OpenAI's with the arguments of a call as an
 * object.
 */
final class ToolFields {
    private static final String FUNCTION = "function";
    private static final String NAME = "name";
    private static final String ARGUMENTS = "arguments";

    private final RowReader reader;

    ToolFields(RowReader reader) {
        this.reader = reader;
    }

    /** The schemas of a column, which holds a list or the JSON text of one; a blank text is none. */
    List<Map<String, @Nullable Object>> schemas(String field) {
        JsonNode value = reader.row.path(field);
        JsonNode list = value.isTextual() ? parsed(value.textValue(), field) : value;
        List<Map<String, @Nullable Object>> schemas = new ArrayList<>();
        if (list == null) {
            return schemas;
        }
        if (!list.isArray()) {
            reader.report(field, "is " + RowReader.describe(list) + ", expected a list of functions");
            return schemas;
        }
        for (int i = 0; i < list.size(); i++) {
            JsonNode schema = list.get(i);
            boolean bare = schema.has(NAME) && !schema.has(FUNCTION);
            if (!bare && !schema.path(FUNCTION).has(NAME)) {
                reader.report(
                        field + "[" + i + "]",
                        "is no function: expected an object with \"name\" and \"parameters\", or with \"function\" that"
                                + " has them");
                continue;
            }
            Map<String, @Nullable Object> map = PlainValues.object(schema);
            schemas.add(bare ? wrapped(map) : map);
        }
        return schemas;
    }

    private static Map<String, @Nullable Object> wrapped(Map<String, @Nullable Object> function) {
        Map<String, @Nullable Object> tool = new LinkedHashMap<>();
        tool.put("type", FUNCTION);
        tool.put(FUNCTION, function);
        return tool;
    }

    /** Calls in OpenAI's form, a list or a single one. */
    List<@Nullable Object> calls(JsonNode value, String field) {
        List<@Nullable Object> calls = new ArrayList<>();
        List<JsonNode> nodes = value.isArray() ? value.valueStream().toList() : List.of(value);
        for (int i = 0; i < nodes.size(); i++) {
            Map<String, @Nullable Object> call = call(nodes.get(i), value.isArray() ? field + "[" + i + "]" : field);
            if (call != null) {
                calls.add(call);
            }
        }
        if (nodes.isEmpty()) {
            reader.report(field, "is empty, expected the call of a function; take the field out");
        }
        return calls;
    }

    /** Calls that a text holds as JSON: an object with name and arguments, or a list of such. */
    List<@Nullable Object> callsInText(String text, String field) {
        JsonNode value = parsed(text, field);
        if (value == null) {
            if (reader.isSound()) {
                reader.report(field, "is blank, expected the JSON of the call of a function");
            }
            return List.of();
        }
        return calls(value, field);
    }

    private @Nullable Map<String, @Nullable Object> call(JsonNode node, String field) {
        boolean bare = !node.has(FUNCTION);
        JsonNode function = bare ? node : node.path(FUNCTION);
        if (!function.path(NAME).isTextual()) {
            reader.report(field, "names no function to call: expected an object with \"name\" and \"arguments\"");
            return null;
        }
        Map<String, @Nullable Object> map = PlainValues.object(function);
        JsonNode arguments = function.path(ARGUMENTS);
        if (arguments.isTextual()) {
            JsonNode parsed = parsed(arguments.textValue(), field + "." + ARGUMENTS);
            if (parsed != null) {
                map.put(ARGUMENTS, PlainValues.of(parsed));
            } else {
                map.put(ARGUMENTS, Map.of());
            }
        }
        if (bare) {
            return wrapped(map);
        }
        Map<String, @Nullable Object> call = PlainValues.object(node);
        call.putIfAbsent("type", FUNCTION);
        call.put(FUNCTION, map);
        return call;
    }

    /** The value of a JSON text; null if it is blank, or is none, which is reported. */
    @Nullable
    JsonNode parsed(String text, String field) {
        if (text.isBlank()) {
            return null;
        }
        JsonReader json = new JsonReader(new StringReader(text));
        try {
            JsonNode value = json.next();
            if (!json.hasMore()) {
                return value;
            }
            reader.report(field, "holds more than one JSON value, expected one; delete the rest");
        } catch (JsonSyntaxException e) {
            String reason = e.isCutOff() ? "it ends in the middle of a value" : e.getMessage();
            reader.report(field, "is a text that should be JSON, but is none (" + e.place() + "): " + reason);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return null;
    }
}
