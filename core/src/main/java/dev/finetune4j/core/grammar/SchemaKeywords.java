package dev.finetune4j.core.grammar;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** Which keywords of a JSON schema there are, what they are about, and what their values have to be. */
final class SchemaKeywords {
    static final List<String> TYPES = List.of("object", "array", "string", "number", "integer", "boolean", "null");

    /** Say nothing about which values are valid. */
    private static final Set<String> ANNOTATIONS = Set.of(
            "title",
            "description",
            "default",
            "example",
            "examples",
            "deprecated",
            "readOnly",
            "writeOnly",
            "$schema",
            "$id",
            "$comment",
            "$defs",
            "definitions");

    /** What the value of a keyword is. */
    private enum Kind {
        SCHEMA("a schema"),
        SCHEMAS("a list of schemas, at least one"),
        NAMED_SCHEMAS("schemas by name"),
        NAMES("a list of names"),
        TEXT("a text"),
        NUMBER("a number"),
        POSITIVE("a number above 0"),
        COUNT("a whole number that is not negative"),
        FALSE("false, since items cannot be kept different from each other"),
        TYPE("one of " + String.join(", ", TYPES) + ", or a list of them"),
        VALUES("a list of values, at least one"),
        ANY("a value");

        private final String words;

        Kind(String words) {
            this.words = words;
        }

        boolean fits(JsonNode value) {
            return switch (this) {
                case SCHEMA -> isSchema(value);
                case SCHEMAS ->
                    value.isArray() && !value.isEmpty() && value.valueStream().allMatch(Kind::isSchema);
                case NAMED_SCHEMAS -> value.isObject() && value.valueStream().allMatch(Kind::isSchema);
                case NAMES -> value.isArray() && value.valueStream().allMatch(JsonNode::isTextual);
                case TEXT -> value.isTextual();
                case NUMBER -> value.isNumber();
                case POSITIVE -> value.isNumber() && value.decimalValue().signum() > 0;
                case COUNT -> value.canConvertToInt() && value.canConvertToExactIntegral() && value.intValue() >= 0;
                case FALSE -> value.isBoolean() && !value.booleanValue();
                case TYPE ->
                    TYPES.contains(value.asText())
                            || (value.isArray()
                                    && !value.isEmpty()
                                    && value.valueStream().allMatch(one -> TYPES.contains(one.asText())));
                case VALUES -> value.isArray() && !value.isEmpty();
                case ANY -> true;
            };
        }

        private static boolean isSchema(JsonNode value) {
            return value.isObject() || value.isBoolean();
        }
    }

    /**
     * A keyword.
     *
     * @param type of values that it is about; null for all
     */
    private record Keyword(Kind kind, @Nullable String type) {}

    private static final Map<String, Keyword> SUPPORTED = new LinkedHashMap<>();

    static {
        add(null, Kind.TYPE, "type");
        add(null, Kind.VALUES, "enum");
        add(null, Kind.ANY, "const");
        add(null, Kind.SCHEMAS, "allOf", "anyOf", "oneOf");
        add(null, Kind.TEXT, "$ref");
        add("object", Kind.NAMED_SCHEMAS, "properties");
        add("object", Kind.NAMES, "required");
        add("object", Kind.SCHEMA, "additionalProperties");
        add("array", Kind.SCHEMA, "items");
        add("array", Kind.SCHEMAS, "prefixItems");
        add("array", Kind.COUNT, "minItems", "maxItems");
        add("array", Kind.FALSE, "uniqueItems");
        add("string", Kind.COUNT, "minLength", "maxLength");
        add("string", Kind.TEXT, "pattern", "format");
        add("number", Kind.NUMBER, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum");
        add("number", Kind.POSITIVE, "multipleOf");
    }

    private SchemaKeywords() {}

    private static void add(@Nullable String type, Kind kind, String... names) {
        Arrays.stream(names).forEach(name -> SUPPORTED.put(name, new Keyword(kind, type)));
    }

    /** Whether a keyword has no part in what is valid. */
    static boolean isAnnotation(String keyword) {
        return ANNOTATIONS.contains(keyword) || keyword.startsWith("x-");
    }

    /** What is wrong with a keyword and its value; null for nothing. */
    static @Nullable String problem(String keyword, JsonNode value) {
        Keyword known = SUPPORTED.get(keyword);
        if (known == null) {
            return isAnnotation(keyword)
                    ? null
                    : "uses \"" + keyword + "\", which constrained output does not support (it supports "
                            + String.join(", ", new TreeSet<>(SUPPORTED.keySet())) + "); take it out";
        }
        return known.kind().fits(value)
                ? null
                : "has \"" + keyword + "\": " + value + ", expected " + known.kind().words;
    }

    /**
     * The types of the values that are written by a plain schema. Where it names none, these are the ones that its keywords are about: any
     * other value would be valid, too, but is hardly meant.
     *
     * @return empty when it says nothing, so that any value is written
     */
    static Set<String> types(JsonNode schema) {
        Set<String> types = new LinkedHashSet<>();
        schema.path("type").forEach(type -> types.add(type.asText()));
        if (!schema.has("type")) {
            schema.fieldNames().forEachRemaining(name -> {
                Keyword keyword = SUPPORTED.get(name);
                if (keyword != null && keyword.type() != null) {
                    types.add(keyword.type());
                }
            });
        }
        if (types.contains("number")) {
            types.remove("integer");
        }
        return types;
    }
}
