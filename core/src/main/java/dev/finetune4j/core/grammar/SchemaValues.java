package dev.finetune4j.core.grammar;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.Map;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Says whether a given value is valid by a schema, for the values of {@code enum}. */
final class SchemaValues {
    private final SchemaAlternatives alternatives;

    SchemaValues(SchemaAlternatives alternatives) {
        this.alternatives = alternatives;
    }

    /** Whether two values are equal as JSON's are: numbers by value, objects whatever the order. */
    static boolean same(JsonNode a, JsonNode b) {
        if (a.isNumber() && b.isNumber()) {
            return a.decimalValue().compareTo(b.decimalValue()) == 0;
        }
        if (a.isArray() && b.isArray() && a.size() == b.size()) {
            Iterator<JsonNode> others = b.iterator();
            return a.valueStream().allMatch(one -> same(one, others.next()));
        }
        if (a.isObject() && b.isObject() && a.size() == b.size()) {
            return a.properties().stream()
                    .allMatch(entry -> b.has(entry.getKey()) && same(entry.getValue(), b.get(entry.getKey())));
        }
        return a.equals(b);
    }

    /** Whether a value is valid by a schema; null for one that says nothing. */
    private boolean valid(JsonNode value, @Nullable JsonNode schema, String place) {
        return schema == null
                || alternatives.of(schema, place).stream().anyMatch(alternative -> valid(value, alternative, place));
    }

    /** Whether a value is valid by a plain alternative. */
    boolean valid(JsonNode value, ObjectNode schema, String place) {
        return ofType(value, schema.get("type"))
                && (!schema.has("enum") || schema.get("enum").valueStream().anyMatch(one -> same(one, value)))
                && (!value.isNumber() || validNumber(value.decimalValue(), schema))
                && (!value.isTextual() || validText(value.textValue(), schema, place))
                && (!value.isArray() || validItems(value, schema, place))
                && (!value.isObject() || validProperties(value, schema, place));
    }

    private static boolean ofType(JsonNode value, @Nullable JsonNode types) {
        return types == null
                || types.valueStream().map(JsonNode::asText).anyMatch(type -> switch (type) {
                    case "object" -> value.isObject();
                    case "array" -> value.isArray();
                    case "string" -> value.isTextual();
                    case "number" -> value.isNumber();
                    case "integer" ->
                        value.isNumber()
                                && value.decimalValue().stripTrailingZeros().scale() <= 0;
                    case "boolean" -> value.isBoolean();
                    default -> value.isNull();
                });
    }

    private static boolean validNumber(BigDecimal value, ObjectNode schema) {
        return agrees(schema.get("minimum"), bound -> value.compareTo(bound) >= 0)
                && agrees(schema.get("exclusiveMinimum"), bound -> value.compareTo(bound) > 0)
                && agrees(schema.get("maximum"), bound -> value.compareTo(bound) <= 0)
                && agrees(schema.get("exclusiveMaximum"), bound -> value.compareTo(bound) < 0)
                && agrees(
                        schema.get("multipleOf"),
                        factor -> value.remainder(factor).signum() == 0);
    }

    private static boolean agrees(@Nullable JsonNode number, Predicate<BigDecimal> condition) {
        return number == null || condition.test(number.decimalValue());
    }

    private boolean validText(String value, ObjectNode schema, String place) {
        long length = value.codePointCount(0, value.length());
        if (length < schema.path("minLength").asLong(0)
                || length > schema.path("maxLength").asLong(Long.MAX_VALUE)) {
            return false;
        }
        String written = TextNode.valueOf(value).toString();
        byte[] inside = written.substring(1, written.length() - 1).getBytes(StandardCharsets.UTF_8);
        for (Rule rule : StringRules.patterns(schema, place, alternatives::report)) {
            GrammarState end = new Grammar(rule).start().after(inside);
            if (end == null || !end.mayEnd()) {
                return false;
            }
        }
        return true;
    }

    private boolean validItems(JsonNode value, ObjectNode schema, String place) {
        if (value.size() < schema.path("minItems").asLong(0)
                || value.size() > schema.path("maxItems").asLong(Long.MAX_VALUE)) {
            return false;
        }
        for (int i = 0; i < value.size(); i++) {
            if (!valid(value.get(i), SchemaMerge.item(schema, i), place)) {
                return false;
            }
        }
        return true;
    }

    private boolean validProperties(JsonNode value, ObjectNode schema, String place) {
        for (JsonNode name : schema.path("required")) {
            if (!value.has(name.textValue())) {
                return false;
            }
        }
        for (Map.Entry<String, JsonNode> entry : value.properties()) {
            JsonNode own = schema.path("properties").get(entry.getKey());
            if (!valid(entry.getValue(), own == null ? schema.get("additionalProperties") : own, place)) {
                return false;
            }
        }
        return true;
    }
}
