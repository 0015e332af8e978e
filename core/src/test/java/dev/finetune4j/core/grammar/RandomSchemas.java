package dev.finetune4j.core.grammar;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.util.List;
import java.util.Random;

/** JSON schemas of all keywords that constrained output supports, in any combination that makes sense to a generator of numbers. */
final class RandomSchemas {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final List<String> PATTERNS = List.of(
            "^[a-z]+$",
            "^(?:ab|c\\d{2,3})*$",
            "x",
            "^\\d{3}-\\d{4}$|^none$",
            "^[\\u4e00-\\u9fa5]{1,4}$",
            "^\\S+\\s\\S+$",
            "[^a-z\"]$",
            "^\\p{Lu}\\w*",
            "^.{2,}?$",
            "^(a?b?)+$",
            "\\\\");
    private static final List<String> NAMES = List.of("a", "b", "c \"d\"", "\u540d");

    /** The validator takes addresses of domains that there are alone. */
    private static final List<String> FORMATS =
            Formats.names().stream().filter(name -> !name.equals("email")).toList();

    private final Random random;

    RandomSchemas(Random random) {
        this.random = random;
    }

    ObjectNode next() {
        ObjectNode root = schema(3);
        ObjectNode definitions = root.putObject("$defs");
        definitions.set("one", schema(2));
        ObjectNode node = NODES.objectNode().put("type", "object");
        node.putObject("properties").set("value", schema(1));
        ((ObjectNode) node.get("properties")).putObject("next").put("$ref", "#/$defs/tree");
        definitions.set("tree", node);
        return root;
    }

    private ObjectNode schema(int depth) {
        ObjectNode schema = NODES.objectNode();
        switch (random.nextInt(depth > 0 ? 14 : 7)) {
            case 0 -> schema.put("type", random.nextBoolean() ? "boolean" : "null");
            case 1, 2 -> string(schema);
            case 3, 4 -> number(schema);
            case 5 -> values(schema);
            case 6 -> schema.put("$ref", random.nextBoolean() ? "#/$defs/one" : "#/$defs/tree");
            case 7, 8, 9 -> object(schema, depth);
            case 10, 11 -> array(schema, depth);
            case 12 -> {
                object(schema, depth);
                several(schema, "allOf", depth);
            }
            default -> several(schema, random.nextBoolean() ? "anyOf" : "oneOf", depth);
        }
        return schema;
    }

    private void string(ObjectNode schema) {
        schema.put("type", "string");
        if (random.nextInt(3) == 0) {
            schema.put("minLength", random.nextInt(5));
        }
        if (random.nextInt(3) == 0) {
            schema.put("maxLength", random.nextInt(12));
        }
        if (random.nextInt(2) == 0) {
            schema.put("pattern", PATTERNS.get(random.nextInt(PATTERNS.size())));
        } else if (random.nextInt(2) == 0) {
            schema.put("format", FORMATS.get(random.nextInt(FORMATS.size())));
        }
    }

    private BigDecimal decimal() {
        return BigDecimal.valueOf(random.nextInt(4001) - 2000, random.nextInt(4));
    }

    private void number(ObjectNode schema) {
        schema.put("type", random.nextBoolean() ? "integer" : "number");
        for (String bound : List.of("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")) {
            if (random.nextInt(4) == 0) {
                schema.put(bound, decimal());
            }
        }
        if (random.nextInt(4) == 0) {
            schema.put("multipleOf", BigDecimal.valueOf(1 + random.nextInt(30), random.nextInt(3)));
        }
    }

    private void values(ObjectNode schema) {
        ArrayNode values = schema.putArray("enum");
        for (int i = 0; i <= random.nextInt(4); i++) {
            values.add(value(2));
        }
        if (random.nextInt(3) == 0) {
            string(schema);
        }
    }

    private JsonNode value(int depth) {
        return switch (random.nextInt(depth > 0 ? 6 : 4)) {
            case 0 ->
                NODES.textNode(List.of("ab", "x\n", "\ud83d\ude00", "", "12").get(random.nextInt(5)));
            case 1 -> NODES.numberNode(decimal());
            case 2 -> NODES.numberNode(random.nextInt(10));
            case 3 -> random.nextBoolean() ? NODES.booleanNode(random.nextBoolean()) : NODES.nullNode();
            case 4 -> NODES.arrayNode().add(value(depth - 1)).add(value(0));
            default -> NODES.objectNode().set("a", value(depth - 1));
        };
    }

    private void object(ObjectNode schema, int depth) {
        if (random.nextInt(4) > 0) {
            schema.put("type", "object");
        }
        ObjectNode properties = schema.putObject("properties");
        NAMES.forEach(name -> {
            if (random.nextBoolean()) {
                properties.set(name, schema(depth - 1));
            }
        });
        if (properties.isEmpty() && random.nextBoolean()) {
            schema.remove("properties");
            schema.put("type", "object");
        }
        if (random.nextBoolean()) {
            schema.putArray("required").add(NAMES.get(random.nextInt(NAMES.size())));
        }
        if (random.nextInt(3) == 0) {
            schema.set("additionalProperties", random.nextBoolean() ? NODES.booleanNode(false) : schema(depth - 1));
        }
    }

    private void array(ObjectNode schema, int depth) {
        schema.put("type", "array");
        if (random.nextBoolean()) {
            schema.set("items", random.nextInt(4) == 0 ? NODES.booleanNode(random.nextBoolean()) : schema(depth - 1));
        }
        if (random.nextBoolean()) {
            schema.putArray("prefixItems").add(schema(depth - 1)).add(schema(0));
        }
        if (random.nextInt(3) == 0) {
            schema.put("minItems", random.nextInt(4));
        }
        if (random.nextInt(3) == 0) {
            schema.put("maxItems", random.nextInt(5));
        }
    }

    private void several(ObjectNode schema, String keyword, int depth) {
        ArrayNode list = schema.putArray(keyword);
        for (int i = 0; i <= random.nextInt(3); i++) {
            list.add(schema(depth - 1));
        }
    }
}
