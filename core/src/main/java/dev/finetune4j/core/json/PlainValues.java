package dev.finetune4j.core.json;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** JSON as plain values: null, booleans, numbers, texts, and lists and maps of these. Stateless. */
public final class PlainValues {
    private PlainValues() {}

    /** The value of a text that holds one value of JSON and nothing else; null when it does not. */
    public static @Nullable JsonNode parse(String text) {
        try {
            JsonReader reader = new JsonReader(text, 1);
            JsonNode node = reader.next();
            return node == null || reader.hasMore() ? null : node;
        } catch (IOException e) {
            return null;
        }
    }

    /** The value of a node. */
    public static @Nullable Object of(JsonNode node) {
        return switch (node.getNodeType()) {
            case ARRAY -> {
                List<@Nullable Object> list = new ArrayList<>(node.size());
                node.forEach(item -> list.add(of(item)));
                yield list;
            }
            case OBJECT -> object(node);
            case STRING -> node.textValue();
            case NUMBER -> node.numberValue();
            case BOOLEAN -> node.booleanValue();
            case NULL, MISSING, BINARY, POJO -> null;
        };
    }

    /** The fields of an object in order; those of anything else are none. */
    public static Map<String, @Nullable Object> object(JsonNode node) {
        Map<String, @Nullable Object> map = new LinkedHashMap<>();
        node.properties().forEach(entry -> map.put(entry.getKey(), of(entry.getValue())));
        return map;
    }
}
