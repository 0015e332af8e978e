package dev.finetune4j.core.grammar;

import static dev.finetune4j.core.grammar.Rule.literal;
import static dev.finetune4j.core.grammar.Rule.sequence;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.TextNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.json.PlainValues;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Makes a grammar of a <a href="https://json-schema.org/draft/2020-12">JSON schema</a>. Its texts fulfil the schema, though not every
 * text that does is one of them: properties stand in the schema's order, and no others than those it names.
 *
 * <p>A keyword that is not known here is refused by name, rather than left out of account.
 */
public final class JsonSchema {
    private static final Set<String> ANNOTATIONS = Set.of(
            "title",
            "description",
            "default",
            "examples",
            "deprecated",
            "readOnly",
            "writeOnly",
            "$schema",
            "$id",
            "$comment",
            "$defs",
            "definitions");
    private static final Set<String> SUPPORTED = Set.of(
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "minItems",
            "maxItems",
            "minLength",
            "maxLength",
            "enum",
            "const",
            "anyOf",
            "oneOf",
            "$ref");
    private static final List<String> TYPES =
            List.of("object", "array", "string", "number", "integer", "boolean", "null");

    /** What may stand before a value. */
    public enum Before {
        /** Nothing. */
        NOTHING(literal("")),
        /** A blank, with which some tokenizers begin a text and which they drop again. */
        BLANK(Rule.optional(literal(" "))),
        /** White space, such as between thoughts and the answer. */
        SPACE(JsonRules.SPACE);

        private final Rule rule;

        Before(Rule rule) {
            this.rule = rule;
        }
    }

    private final JsonNode root;
    private final Map<String, Rule> referred = new HashMap<>();
    private final List<String> problems = new ArrayList<>();
    /** References that are followed at one place of the text. */
    private Set<String> open = new HashSet<>();

    private JsonSchema(JsonNode root) {
        this.root = root;
    }

    /**
     * The grammar of a schema.
     *
     * @param schema a JSON object as text
     * @param before what may stand before the value
     * @throws SettingsException naming everything in it that is not supported, with its place
     */
    public static Grammar grammar(String schema, Before before) {
        JsonNode root = PlainValues.parse(schema);
        if (root == null || !(root.isObject() || root.isBoolean())) {
            throw new SettingsException(
                    List.of("a JSON schema is a JSON object, such as {\"type\": \"object\"}, but it was "
                            + schema.substring(0, Math.min(schema.length(), 100))));
        }
        JsonSchema maker = new JsonSchema(root);
        Rule rule = maker.rule(root, "#");
        if (!maker.problems.isEmpty()) {
            throw new SettingsException(maker.problems);
        }
        return new Grammar(sequence(before.rule, rule));
    }

    /**
     * The grammar of any JSON object.
     *
     * @param before what may stand before it
     */
    public static Grammar anyObject(Before before) {
        return new Grammar(sequence(before.rule, JsonRules.OBJECT));
    }

    private void report(String place, String problem) {
        problems.add("the JSON schema " + problem + " at " + place);
    }

    private Rule rule(JsonNode schema, String place) {
        if (schema.isBoolean() && schema.booleanValue()) {
            return JsonRules.VALUE;
        }
        if (!schema.isObject()) {
            report(place, "has " + schema + " where a schema is expected");
            return JsonRules.NULL;
        }
        schema.properties().stream().map(Map.Entry::getKey).forEach(keyword -> {
            if (!SUPPORTED.contains(keyword) && !ANNOTATIONS.contains(keyword)) {
                report(
                        place,
                        "uses \"" + keyword + "\", which constrained output does not support (it supports "
                                + String.join(", ", SUPPORTED.stream().sorted().toList()) + "); take it out");
            }
        });
        if (schema.has("$ref")) {
            return reference(schema.get("$ref").asText(), place);
        }
        if (schema.has("const")) {
            return literal(schema.get("const").toString());
        }
        if (schema.has("enum")) {
            List<Rule> values = new ArrayList<>();
            schema.get("enum").forEach(value -> values.add(literal(value.toString())));
            return values.isEmpty() ? refused(place, "has an empty enum") : new Rule.Choice(values);
        }
        for (String of : List.of("anyOf", "oneOf")) {
            if (schema.has(of)) {
                return alternatives(schema, of, place);
            }
        }
        return typed(schema, place);
    }

    private Rule refused(String place, String problem) {
        report(place, problem);
        return JsonRules.NULL;
    }

    private Rule alternatives(JsonNode schema, String of, String place) {
        for (String beside : List.of("type", "properties", "items", "anyOf", "oneOf")) {
            if (!beside.equals(of) && schema.has(beside)) {
                return refused(place, "has \"" + beside + "\" beside \"" + of + "\"; put it into each alternative");
            }
        }
        List<Rule> alternatives = new ArrayList<>();
        for (int i = 0; i < schema.get(of).size(); i++) {
            alternatives.add(rule(schema.get(of).get(i), place + "/" + of + "/" + i));
        }
        return alternatives.isEmpty() ? refused(place, "has no alternatives in " + of) : new Rule.Choice(alternatives);
    }

    private Rule reference(String pointer, String place) {
        if (!pointer.equals("#") && !pointer.startsWith("#/")) {
            return refused(
                    place, "refers to " + pointer + ", but only references into itself such as #/$defs/x are followed");
        }
        if (open.contains(pointer)) {
            return refused(place, "refers to " + pointer + ", which leads back here with nothing in between");
        }
        JsonNode target = root.at(pointer.substring(1));
        if (target.isMissingNode()) {
            return refused(place, "refers to " + pointer + ", which is not there");
        }
        Rule known = referred.get(pointer);
        if (known == null) {
            Rule[] made = new Rule[1];
            known = new Rule.Lazy(() -> made[0]);
            referred.put(pointer, known);
            open.add(pointer);
            made[0] = rule(target, pointer);
            open.remove(pointer);
        }
        return known;
    }

    /** The rule of a part, before which something else stands in the text. */
    private Rule part(JsonNode schema, String place) {
        Set<String> outer = open;
        open = new HashSet<>();
        Rule rule = rule(schema, place);
        open = outer;
        return rule;
    }

    private Rule typed(JsonNode schema, String place) {
        JsonNode type = schema.path("type");
        List<String> types = new ArrayList<>();
        if (type.isTextual()) {
            types.add(type.textValue());
        } else {
            type.forEach(one -> types.add(one.asText()));
        }
        if (types.isEmpty()) {
            if (schema.has("properties")) {
                types.add("object");
            } else if (schema.has("items")) {
                types.add("array");
            } else {
                return JsonRules.VALUE;
            }
        }
        List<Rule> rules = new ArrayList<>();
        for (String one : types) {
            rules.add(
                    switch (one) {
                        case "object" -> object(schema, place);
                        case "array" ->
                            JsonRules.array(
                                    schema.has("items") ? part(schema.get("items"), place + "/items") : JsonRules.VALUE,
                                    bound(schema, "minItems", 0, place),
                                    bound(schema, "maxItems", -1, place));
                        case "string" ->
                            JsonRules.string(
                                    bound(schema, "minLength", 0, place), bound(schema, "maxLength", -1, place));
                        case "number" -> JsonRules.NUMBER;
                        case "integer" -> JsonRules.INTEGER;
                        case "boolean" -> JsonRules.BOOLEAN;
                        case "null" -> JsonRules.NULL;
                        default ->
                            refused(place, "has the type \"" + one + "\"; the types are " + String.join(", ", TYPES));
                    });
        }
        return rules.size() == 1 ? rules.get(0) : new Rule.Choice(rules);
    }

    private int bound(JsonNode schema, String keyword, int otherwise, String place) {
        JsonNode value = schema.path(keyword);
        if (value.isMissingNode()) {
            return otherwise;
        }
        if (!value.canConvertToInt() || value.intValue() < 0) {
            report(place, "has " + keyword + " " + value + ", expected a whole number that is not negative");
            return 0;
        }
        return value.intValue();
    }

    private Rule object(JsonNode schema, String place) {
        Map<String, JsonNode> properties = new LinkedHashMap<>();
        schema.path("properties").properties().forEach(entry -> properties.put(entry.getKey(), entry.getValue()));
        List<String> required = new ArrayList<>();
        for (JsonNode name : schema.path("required")) {
            required.add(name.asText());
            // What is required but not described may be anything.
            properties.putIfAbsent(name.asText(), BooleanNode.TRUE);
        }
        JsonNode further = schema.path("additionalProperties");
        if (properties.isEmpty()) {
            if (further.isBoolean() && !further.booleanValue()) {
                return sequence(literal("{"), JsonRules.SPACE, literal("}"));
            }
            return JsonRules.object(
                    further.isObject() ? part(further, place + "/additionalProperties") : JsonRules.VALUE);
        }
        List<Property> all = new ArrayList<>();
        properties.forEach((name, value) -> all.add(new Property(
                literal(TextNode.valueOf(name).toString()),
                part(value, place + "/properties/" + name),
                required.contains(name))));
        return sequence(literal("{"), JsonRules.SPACE, fields(all), literal("}"));
    }

    private record Property(Rule name, Rule value, boolean required) {}

    /** The properties, each at most once and in order. */
    private static Rule fields(List<Property> properties) {
        // What may follow where nothing has been written yet, and behind other properties.
        Rule first = literal("");
        Rule further = JsonRules.SPACE;
        for (int i = properties.size() - 1; i >= 0; i--) {
            Property property = properties.get(i);
            Rule field = sequence(
                    property.name(), JsonRules.SPACE, literal(":"), JsonRules.SPACE, property.value(), further);
            Rule next = sequence(JsonRules.SPACE, literal(","), JsonRules.SPACE, field);
            first = property.required() ? field : Rule.choice(field, first);
            further = property.required() ? next : Rule.choice(next, further);
        }
        return first;
    }
}
