package dev.finetune4j.lora.train.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/** Says how two JSON trees of settings differ. Stateless. */
public final class JsonDifferences {
    private static final String TYPE = ".type";

    private JsonDifferences() {}

    /**
     * A sentence for each value that differs, by its path, such as {@code training.learningRate}. Where two records of different types
     * stand in one place, their types alone are told.
     */
    public static Map<String, String> of(JsonNode then, JsonNode now) {
        Map<String, String> before = flat(then);
        Map<String, String> after = flat(now);
        Set<String> paths = new LinkedHashSet<>(before.keySet());
        paths.addAll(after.keySet());
        Map<String, String> found = new LinkedHashMap<>();
        for (String path : paths) {
            String was = before.getOrDefault(path, "not set");
            String is = after.getOrDefault(path, "not set");
            if (!is.equals(was)) {
                found.put(path, path + " is " + is + ", but was " + was);
            }
        }
        Map<String, String> told = new LinkedHashMap<>(found);
        found.keySet().stream()
                .filter(path -> path.endsWith(TYPE))
                .map(path -> path.substring(0, path.length() - TYPE.length() + 1))
                .forEach(prefix -> told.keySet()
                        .removeIf(path -> path.startsWith(prefix) && !path.equals(prefix + TYPE.substring(1))));
        return told;
    }

    private static Map<String, String> flat(JsonNode node) {
        Map<String, String> flat = new LinkedHashMap<>();
        flatten("", node, flat);
        return flat;
    }

    private static void flatten(String path, JsonNode node, Map<String, String> into) {
        if (node.isObject() && !node.isEmpty()) {
            node.properties()
                    .forEach(field -> flatten(
                            path.isEmpty() ? field.getKey() : path + "." + field.getKey(), field.getValue(), into));
        } else {
            into.put(path, node.isNull() ? "not set" : node.isValueNode() ? node.asText() : node.toString());
        }
    }
}
