package dev.finetune4j.core.grammar;

import static dev.finetune4j.core.grammar.Rule.literal;
import static dev.finetune4j.core.grammar.Rule.sequence;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.json.PlainValues;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Makes a grammar of a <a href="https://json-schema.org/draft/2020-12">JSON schema</a>. Its texts fulfil the schema, though not every
 * text that does is one of them: properties stand in the schema's order, and no others than those it names; bounded numbers have no
 * exponent; a format has its usual forms. Duplicate names can be written by objects whose names are free.
 *
 * <p>A keyword that is not known here is refused by name, rather than left out of account.
 */
public final class JsonSchema {
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

    /** More are refused: schemas that say more at each level of a recursion have no end. */
    private static final int MAX_RULES = 5_000;

    private final SchemaAlternatives alternatives;
    private final SchemaValues values;
    /** Of all schemas so far, equal ones once, so that they can contain themselves. */
    private final Map<JsonNode, Rule> rules = new HashMap<>();
    /** Where no value is valid. */
    private final Set<String> contradictions = new LinkedHashSet<>();

    private JsonSchema(JsonNode root) {
        this.alternatives = new SchemaAlternatives(root);
        this.values = new SchemaValues(alternatives);
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
        List<String> problems = maker.alternatives.problems();
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
        Grammar grammar = new Grammar(sequence(before.rule, rule));
        if (grammar.isEmpty()) {
            throw new SettingsException(List.of("no finite JSON fulfils the JSON schema; look at "
                    + (maker.contradictions.isEmpty()
                            ? "properties that are required and have to contain themselves"
                            : String.join(", ", maker.contradictions))));
        }
        return grammar;
    }

    /**
     * The grammar of any JSON object.
     *
     * @param before what may stand before it
     */
    public static Grammar anyObject(Before before) {
        return new Grammar(sequence(before.rule, JsonRules.OBJECT));
    }

    private Rule rule(JsonNode schema, String place) {
        Rule known = rules.get(schema);
        if (known != null) {
            return known;
        }
        if (rules.size() == MAX_RULES) {
            alternatives.report(place, "has more than " + MAX_RULES + " parts that differ");
            return Rule.NONE;
        }
        Rule[] made = new Rule[1];
        Rule rule = new Rule.Lazy(() -> made[0]);
        rules.put(schema, rule);
        List<Rule> some = new ArrayList<>();
        alternatives.of(schema, place).forEach(alternative -> some.addAll(plain(alternative, place)));
        some.removeIf(Rule.NONE::equals);
        if (some.isEmpty()) {
            contradictions.add(place);
        }
        made[0] = some.size() == 1 ? some.get(0) : new Rule.Choice(some);
        return rule;
    }

    /** A rule for each type of a plain schema. */
    private List<Rule> plain(ObjectNode schema, String place) {
        if (schema.has("enum")) {
            return schema.get("enum")
                    .valueStream()
                    .filter(value -> values.valid(value, schema, place))
                    .map(value -> literal(value.toString()))
                    .toList();
        }
        Set<String> types = SchemaKeywords.types(schema);
        if (types.isEmpty() && !schema.has("type")) {
            return List.of(JsonRules.VALUE);
        }
        return types.stream().map(type -> ofType(schema, type, place)).toList();
    }

    private Rule ofType(ObjectNode schema, String type, String place) {
        return switch (type) {
            case "object" -> object(schema, place);
            case "array" -> array(schema, place);
            case "string" -> StringRules.of(schema, place, alternatives::report);
            case "boolean" -> JsonRules.BOOLEAN;
            case "null" -> JsonRules.NULL;
            default -> NumberRules.of(schema, type.equals("integer"), place, alternatives::report);
        };
    }

    private Rule array(ObjectNode schema, String place) {
        int min = schema.path("minItems").asInt(0);
        int max = schema.path("maxItems").asInt(-1);
        if (max >= 0 && min > max) {
            return Rule.NONE;
        }
        JsonNode prefix = schema.path("prefixItems");
        Rule item = schema.has("items") ? rule(schema.get("items"), place + "/items") : JsonRules.VALUE;
        if (prefix.isEmpty()) {
            return JsonRules.array(item, min, max);
        }
        List<Rule> first = new ArrayList<>();
        for (int i = 0; i < prefix.size() && (max < 0 || i < max); i++) {
            first.add(rule(prefix.get(i), place + "/prefixItems/" + i));
        }
        // Items that nothing is said about are not written, unless there have to be more.
        int most = schema.has("items") ? max : Math.max(first.size(), min);
        return JsonRules.array(first, item, min, most);
    }

    private Rule object(ObjectNode schema, String place) {
        Map<String, JsonNode> properties = new LinkedHashMap<>();
        schema.path("properties").properties().forEach(entry -> properties.put(entry.getKey(), entry.getValue()));
        JsonNode further = schema.has("additionalProperties") ? schema.get("additionalProperties") : BooleanNode.TRUE;
        Set<String> required = new LinkedHashSet<>();
        for (JsonNode name : schema.path("required")) {
            required.add(name.textValue());
            properties.putIfAbsent(name.textValue(), further);
        }
        if (properties.isEmpty()) {
            return further.equals(BooleanNode.FALSE)
                    ? sequence(literal("{"), JsonRules.SPACE, literal("}"))
                    : JsonRules.object(rule(further, place + "/additionalProperties"));
        }
        List<Property> all = new ArrayList<>();
        properties.forEach((name, value) -> all.add(new Property(
                literal(TextNode.valueOf(name).toString()),
                rule(value, place + "/properties/" + name),
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
