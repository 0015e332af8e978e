package dev.finetune4j.core.grammar;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.BinaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * Makes one schema of two that both hold. Its schemas are without references and alternatives: {@code type}, {@code enum}, {@code pattern}
 * and {@code format} are lists, of which the last two all hold, and there is no {@code const}.
 */
final class SchemaMerge {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private SchemaMerge() {}

    /** The form of a schema's own keywords; those that refer to other schemas for the same value are left out. */
    static ObjectNode plain(JsonNode schema) {
        ObjectNode plain = NODES.objectNode();
        schema.properties().forEach(entry -> {
            String keyword = entry.getKey();
            JsonNode value = entry.getValue();
            if (Set.of("type", "pattern", "format").contains(keyword) && !value.isArray()) {
                plain.putArray(keyword).add(value);
            } else if (!Set.of("const", "$ref", "allOf", "anyOf", "oneOf", "uniqueItems")
                            .contains(keyword)
                    && !SchemaKeywords.isAnnotation(keyword)) {
                plain.set(keyword, value);
            }
        });
        JsonNode constant = schema.get("const");
        if (constant == null) {
            return plain;
        }
        ObjectNode one = NODES.objectNode();
        one.putArray("enum").add(constant);
        return merge(plain, one);
    }

    static ObjectNode merge(ObjectNode a, ObjectNode b) {
        ObjectNode merged = NODES.objectNode();
        merged.setAll(a);
        b.properties().forEach(entry -> {
            JsonNode own = a.get(entry.getKey());
            merged.set(entry.getKey(), own == null ? entry.getValue() : both(entry.getKey(), own, entry.getValue()));
        });
        if (a.has("properties") || b.has("properties")) {
            merged.set("properties", properties(a, b));
        }
        if (a.has("prefixItems") || b.has("prefixItems")) {
            merged.set("prefixItems", prefixItems(a, b));
        }
        return merged;
    }

    private static JsonNode both(String keyword, JsonNode a, JsonNode b) {
        return switch (keyword) {
            case "type" -> types(a, b);
            case "enum" -> common(a, b);
            case "pattern", "format", "required" -> union(a, b);
            case "minimum", "exclusiveMinimum", "minLength", "minItems" -> chosen(a, b, BigDecimal::max);
            case "maximum", "exclusiveMaximum", "maxLength", "maxItems" -> chosen(a, b, BigDecimal::min);
            case "multipleOf" -> chosen(a, b, SchemaMerge::multiple);
            default -> and(a, b);
        };
    }

    private static ArrayNode types(JsonNode a, JsonNode b) {
        ArrayNode types = NODES.arrayNode();
        for (JsonNode type : a) {
            if (contains(b, type) || (type.asText().equals("integer") && contains(b, NODES.textNode("number")))) {
                types.add(type);
            }
        }
        for (JsonNode type : b) {
            if (type.asText().equals("integer") && !contains(types, type) && contains(a, NODES.textNode("number"))) {
                types.add(type);
            }
        }
        return types;
    }

    private static boolean contains(JsonNode list, JsonNode value) {
        return list.valueStream().anyMatch(one -> SchemaValues.same(one, value));
    }

    private static ArrayNode common(JsonNode a, JsonNode b) {
        ArrayNode common = NODES.arrayNode();
        a.forEach(value -> {
            if (contains(b, value)) {
                common.add(value);
            }
        });
        return common;
    }

    private static ArrayNode union(JsonNode a, JsonNode b) {
        Set<JsonNode> all = new LinkedHashSet<>();
        List.of(a, b).forEach(list -> list.forEach(all::add));
        return NODES.arrayNode().addAll(all);
    }

    private static JsonNode chosen(JsonNode a, JsonNode b, BinaryOperator<BigDecimal> choice) {
        return NODES.numberNode(choice.apply(a.decimalValue(), b.decimalValue()));
    }

    /** The least common multiple. */
    private static BigDecimal multiple(BigDecimal a, BigDecimal b) {
        int scale = Math.max(0, Math.max(a.scale(), b.scale()));
        BigInteger one = a.movePointRight(scale).toBigIntegerExact();
        BigInteger other = b.movePointRight(scale).toBigIntegerExact();
        return new BigDecimal(one.divide(one.gcd(other)).multiply(other)).movePointLeft(scale);
    }

    private static ObjectNode properties(ObjectNode a, ObjectNode b) {
        Set<String> names = new LinkedHashSet<>();
        List.of(a, b).forEach(schema -> schema.path("properties").fieldNames().forEachRemaining(names::add));
        ObjectNode properties = NODES.objectNode();
        names.forEach(name -> properties.set(name, and(property(a, name), property(b, name))));
        return properties;
    }

    private static @Nullable JsonNode property(ObjectNode schema, String name) {
        JsonNode own = schema.path("properties").get(name);
        return own == null ? schema.get("additionalProperties") : own;
    }

    private static ArrayNode prefixItems(ObjectNode a, ObjectNode b) {
        ArrayNode items = NODES.arrayNode();
        for (int i = 0;
                i < Math.max(a.path("prefixItems").size(), b.path("prefixItems").size());
                i++) {
            items.add(and(item(a, i), item(b, i)));
        }
        return items;
    }

    /** The schema of an item; null where it may be anything. */
    static @Nullable JsonNode item(ObjectNode schema, int index) {
        JsonNode own = schema.path("prefixItems").get(index);
        return own == null ? schema.get("items") : own;
    }

    /** Both of two schemas, either of which may say nothing. */
    private static JsonNode and(@Nullable JsonNode a, @Nullable JsonNode b) {
        if (a == null || b == null || a.equals(b)) {
            return a != null ? a : b != null ? b : NODES.booleanNode(true);
        }
        ObjectNode both = NODES.objectNode();
        both.putArray("allOf").add(a).add(b);
        return both;
    }
}
