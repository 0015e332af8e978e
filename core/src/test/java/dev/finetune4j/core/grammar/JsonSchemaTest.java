package dev.finetune4j.core.grammar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.json.PlainValues;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class JsonSchemaTest {
    private static final String PERSON = """
            {"type": "object", "description": "someone",
             "properties": {
               "name": {"type": "string", "minLength": 1, "maxLength": 8},
               "age": {"type": "integer"},
               "mail": {"type": ["string", "null"]},
               "tags": {"type": "array", "items": {"enum": ["a", "b\\"c", 3, null]}, "minItems": 1, "maxItems": 3},
               "boss": {"$ref": "#"},
               "kind": {"const": "p\\u00e9rson"}},
             "required": ["name", "kind"], "additionalProperties": false}
            """;
    private static final String TREE = """
            {"$defs": {"node": {"type": "object",
                "properties": {"value": {"type": "number"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
                "required": ["value", "children"]}},
             "anyOf": [{"$ref": "#/$defs/node"}, {"type": "boolean"}]}
            """;

    private static boolean accepts(Grammar grammar, String text) {
        GrammarState state = grammar.start().after(text.getBytes(StandardCharsets.UTF_8));
        return state != null && state.mayEnd();
    }

    @Test
    void textsThatFulfilASchemaAreAccepted() {
        Grammar person = JsonSchema.grammar(PERSON, JsonSchema.Before.NOTHING);
        for (String text : List.of(
                "{\"name\":\"Ann\",\"kind\":\"p\u00e9rson\"}",
                "{\n  \"name\": \"\u5f20\u4e09\",\n  \"age\": -12,\n  \"mail\": null,\n  \"kind\": \"p\u00e9rson\"\n}",
                "{\"name\":\"\\u00e9\\n\",\"tags\":[\"a\", 3, null],\"boss\":{\"name\":\"B\",\"kind\":\"p\u00e9rson\"},\"kind\":\"p\u00e9rson\"}")) {
            assertTrue(accepts(person, text), text);
        }
        for (String text : List.of(
                "{\"name\":\"\",\"kind\":\"p\u00e9rson\"}",
                "{\"name\":\"Ann\"}",
                "{\"kind\":\"p\u00e9rson\",\"name\":\"Ann\"}",
                "{\"name\":\"Ann\",\"age\":1.5,\"kind\":\"p\u00e9rson\"}",
                "{\"name\":\"Ann\",\"other\":1,\"kind\":\"p\u00e9rson\"}",
                "{\"name\":\"Ann\",\"tags\":[],\"kind\":\"p\u00e9rson\"}",
                "{\"name\":\"123456789\",\"kind\":\"p\u00e9rson\"}",
                "{\"name\":\"Ann\",\"kind\":\"p\u00e9rson\",}",
                "{\"name\":\"Ann\nB\",\"kind\":\"p\u00e9rson\"}",
                "{\"name\":\"Ann\",\"kind\":\"p\u00e9rson\"} ")) {
            assertFalse(accepts(person, text), text);
        }
        Grammar tree = JsonSchema.grammar(TREE, JsonSchema.Before.NOTHING);
        assertTrue(accepts(tree, "{\"value\": 1e5, \"children\": [{\"value\": 0.25, \"children\": []}]}"));
        assertTrue(accepts(tree, "true"));
        assertFalse(accepts(tree, "{\"value\": 01, \"children\": []}"));
        Grammar any = JsonSchema.anyObject(JsonSchema.Before.NOTHING);
        assertTrue(accepts(any, "{\"a\": [1, {\"b\": \"\ud83d\ude00\"}, -0.5E-3, true], \"c\": {}}"));
        assertFalse(accepts(any, "[1]"));
        GrammarState end = any.start().after("{}".getBytes(StandardCharsets.UTF_8));
        assertNotNull(end);
        assertTrue(end.mustEnd());
        assertNull(end.after(' '));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                PERSON,
                TREE,
                "{\"type\": \"object\"}",
                "{\"type\": \"object\", \"additionalProperties\": {\"type\": \"integer\"}}",
                "{\"type\": \"array\", \"minItems\": 2}",
                "{\"required\": [\"x\"], \"properties\": {}}",
                "{\"oneOf\": [{\"const\": {\"a\": [1, 2]}}, {\"type\": \"string\", \"maxLength\": 3}]}",
                "true"
            })
    void everyWalkThroughAGrammarFulfilsItsSchema(String schema) throws CharacterCodingException {
        JsonNode root = PlainValues.parse(schema);
        Grammar grammar = JsonSchema.grammar(schema, JsonSchema.Before.NOTHING);
        int walks = Boolean.getBoolean("finetune4j.long") ? 20_000 : 200;
        int complete = 0;
        for (int seed = 0; seed < walks; seed++) {
            byte[] text = walk(grammar, new Random(seed));
            if (text == null) {
                continue;
            }
            complete++;
            String decoded = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(text))
                    .toString();
            JsonNode value = PlainValues.parse(decoded);
            // A free object may have a name twice, which this library's own reader refuses.
            if (value != null) {
                assertTrue(fulfils(root, root, value), "seed " + seed + ": " + decoded);
            }
        }
        assertTrue(complete > walks / 10, complete + " of " + walks + " walks came to an end");
    }

    /** A random text of the grammar; null when it gets too long. */
    private static byte[] walk(Grammar grammar, Random random) {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        GrammarState state = grammar.start();
        while (!state.mustEnd()) {
            if (text.size() > 2000) {
                return null;
            }
            List<Integer> next = new ArrayList<>();
            for (int value = 0; value < 256; value++) {
                if (state.after(value) != null) {
                    next.add(value);
                }
            }
            assertFalse(next.isEmpty(), "a state from which nothing leads: " + text);
            // Ends are likelier than they are among all bytes, so that texts stay short.
            List<Integer> ends =
                    next.stream().filter(value -> "\"]}".indexOf(value) >= 0).toList();
            List<Integer> from = !ends.isEmpty() && random.nextInt(3) > 0 ? ends : next;
            int value = from.get(random.nextInt(from.size()));
            if (state.mayEnd() && random.nextBoolean()) {
                break;
            }
            text.write(value);
            state = state.after(value);
        }
        return text.toByteArray();
    }

    /** The keywords of these schemas, by their definitions. */
    private static boolean fulfils(JsonNode root, JsonNode schema, JsonNode value) {
        if (schema.isBoolean()) {
            return schema.booleanValue();
        }
        if (schema.has("$ref")) {
            return fulfils(root, root.at(schema.get("$ref").asText().substring(1)), value);
        }
        for (String of : List.of("anyOf", "oneOf")) {
            if (schema.has(of)) {
                return schema.get(of).valueStream().anyMatch(one -> fulfils(root, one, value));
            }
        }
        if (schema.has("const")) {
            return schema.get("const").equals(value);
        }
        if (schema.has("enum")) {
            return schema.get("enum").valueStream().anyMatch(value::equals);
        }
        JsonNode types = schema.path("type");
        boolean typed = types.isMissingNode()
                || types.asText().equals(type(value))
                || types.valueStream().anyMatch(one -> one.asText().equals(type(value)))
                || (types.asText().equals("number") && value.isNumber());
        return typed && bounds(schema, value) && parts(root, schema, value);
    }

    private static boolean bounds(JsonNode schema, JsonNode value) {
        int size = value.isTextual()
                ? value.textValue().codePointCount(0, value.textValue().length())
                : value.size();
        String[] names =
                value.isTextual() ? new String[] {"minLength", "maxLength"} : new String[] {"minItems", "maxItems"};
        return size >= schema.path(names[0]).asInt(0)
                && size <= schema.path(names[1]).asInt(Integer.MAX_VALUE);
    }

    private static boolean parts(JsonNode root, JsonNode schema, JsonNode value) {
        for (JsonNode name : schema.path("required")) {
            if (!value.has(name.asText())) {
                return false;
            }
        }
        if (value.isObject()) {
            return value.properties().stream().allMatch(entry -> {
                JsonNode own = schema.path("properties").path(entry.getKey());
                JsonNode further = schema.path("additionalProperties");
                JsonNode judge = own.isMissingNode() ? further : own;
                return judge.isMissingNode() || fulfils(root, judge, entry.getValue());
            });
        }
        return !value.isArray()
                || !schema.has("items")
                || value.valueStream().allMatch(item -> fulfils(root, schema.get("items"), item));
    }

    private static String type(JsonNode value) {
        return value.isIntegralNumber() ? "integer" : value.getNodeType().name().toLowerCase(Locale.ROOT);
    }

    @Test
    void whatIsNotSupportedIsNamedWithItsPlace() {
        SettingsException refused = assertThrows(SettingsException.class, () -> refusedGrammar("""
                        {"type": "object", "properties": {
                          "a": {"type": "string", "pattern": "(?=x)"}, "b": {"patternProperties": {}, "uniqueItems": true},
                          "c": {"$ref": "other.json"}, "d": {"type": "date"}, "e": {"not": {}}}}
                        """));
        for (String part : List.of(
                "has the pattern (?=x), in which a look-around or a flag ((?=x…) is not supported",
                "at #/properties/a",
                "\"patternProperties\", which constrained output does not support",
                "has \"uniqueItems\": true, expected false",
                "at #/properties/b",
                "refers to other.json",
                "has \"type\": \"date\", expected one of",
                "\"not\"")) {
            assertTrue(refused.getMessage().contains(part), refused.getMessage());
        }
        assertThrows(SettingsException.class, () -> refusedGrammar("no JSON"));
        assertThrows(
                SettingsException.class,
                () -> refusedGrammar("{\"$defs\": {\"a\": {\"anyOf\": [{\"$ref\": \"#/$defs/a\"}]}},"
                        + " \"$ref\": \"#/$defs/a\"}"));
    }

    private static void refusedGrammar(String schema) {
        JsonSchema.grammar(schema, JsonSchema.Before.NOTHING);
    }

    /** A schema, texts that are of it, and texts that are not; with quotes that are easier to read. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{'type': 'integer', 'minimum': -5, 'exclusiveMaximum': 120} | -5 0 7 99 119 | -6 120 1000 1.0 05",
                "{'type': 'number', 'exclusiveMinimum': 0, 'maximum': 1.25} | 0.001 1 1.25 0.9 1.2 | 0 -1 1.26 1.3 2 1e0",
                "{'type': 'number', 'maximum': -0.5} | -0.5 -0.75 -12 | 0 -0.25 0.5 -0.4999",
                "{'type': 'number', 'multipleOf': 0.25, 'minimum': 0} | 0 0.25 1.5 10.75 | 0.1 1.3 -0.25",
                "{'type': 'integer', 'multipleOf': 15} | 0 15 -30 1200 | 1 5 16",
                "{'minimum': 3} | 3 4.5 | 2 'a' null",
                "{'type': 'string', 'pattern': '^[A-Z]{2}\\\\d+$', 'maxLength': 5} | 'AB1' 'AB123' | 'AB' 'AB1234' 'aB1'",
                "{'type': 'string', 'pattern': 'b'} | 'b' 'abc' 'b\\n' | '' 'ac'",
                "{'type': 'string', 'format': 'date'} | '2024-02-29' '1999-12-31' | '2023-02-29' '2024-13-01' '2024-1-1'",
                "{'type': 'string', 'format': 'date-time'} | '2024-02-29T23:59:59Z' | '2024-02-29' '2024-02-29T24:00:00Z'",
                "{'type': 'string', 'format': 'ipv6'} | '::' '1::' '::1' '1:2:3:4:5:6:7:8' '1::8' | '1:2' '1::2::3' '1:2:3:4:5:6:7::8'",
                "{'prefixItems': [{'const': 1}, {'type': 'boolean'}], 'items': {'const': 2}, 'minItems': 1} | [1] [1,true] [1,false,2,2] | [] [2] [1,2]",
                "{'prefixItems': [{'const': 1}], 'items': false} | [] [1] | [1,1]",
                "{'allOf': [{'properties': {'a': {'minimum': 1}}, 'required': ['a']}, {'properties': {'a': {'type': 'integer', 'maximum': 2}}}]} | {'a':1} {'a':2} | {} {'a':0} {'a':3} {'a':1.5}",
                "{'type': 'object', 'properties': {'k': {'enum': [1, 'x', null], 'type': ['integer', 'null']}}} | {} {'k':1} {'k':null} | {'k':'x'}",
                "{'oneOf': [{'properties': {'t': {'const': 'a'}}, 'required': ['t']}, {'properties': {'t': {'const': 'b'}, 'n': {'$ref': '#'}}, 'required': ['t', 'n']}]} | {'t':'a'} {'t':'b','n':{'t':'a'}} {'t':'b','n':{'t':'b','n':{'t':'a'}}} | {'t':'b'} {'t':'c'}",
                "{'required': ['x'], 'additionalProperties': {'type': 'integer'}} | {'x':3} | {'x':'y'} {}",
                "{'properties': {'a': false, 'b': {'type': 'null'}}} | {} {'b':null} | {'a':1}",
                "{'anyOf': [{'minLength': 2}, {'const': 5}], 'description': 'beside'} | 'ab' 5 | 'a' 6"
            })
    void keywords(String schema, String valid, String invalid) {
        Grammar grammar = JsonSchema.grammar(schema.replace('\'', '"'), JsonSchema.Before.NOTHING);
        for (String text : valid.replace('\'', '"').split(" ", -1)) {
            assertTrue(accepts(grammar, text), text);
        }
        for (String text : invalid.replace('\'', '"').split(" ", -1)) {
            assertFalse(accepts(grammar, text), text);
        }
    }

    @Test
    void whatCannotBeFulfilledOrToldApartIsRefused() {
        List<String> schemas = List.of(
                "{\"oneOf\": [{\"type\": \"integer\"}, {\"type\": \"number\"}]}",
                "{\"oneOf\": [{\"pattern\": \"^a\"}, {\"pattern\": \"b$\"}]}",
                "{\"type\": \"integer\", \"exclusiveMinimum\": 1, \"exclusiveMaximum\": 2}",
                "{\"type\": \"string\", \"pattern\": \"^a{3}$\", \"maxLength\": 2}",
                "{\"enum\": [\"a\"], \"type\": \"integer\"}",
                "{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": [\"a\"]}",
                "{\"required\": [\"a\"], \"additionalProperties\": false}",
                "{\"type\": \"number\", \"multipleOf\": 12345.6}");
        for (String schema : schemas) {
            assertThrows(SettingsException.class, () -> refusedGrammar(schema), schema);
        }
        SettingsException nothing = assertThrows(
                SettingsException.class,
                () -> refusedGrammar("{\"properties\": {\"a\": {\"type\": \"string\", \"pattern\": \"[^\\\\s\\\\S]\"}},"
                        + " \"required\": [\"a\"]}"));
        assertTrue(nothing.getMessage().contains("look at #/properties/a"), nothing.getMessage());
    }

    @Test
    void aTrieFindsTheTokensThatATestOfEachFinds() {
        Random random = new Random(1);
        byte[][] tokens = new byte[3000][];
        for (int id = 0; id < tokens.length; id++) {
            String letters = "{}[]\":, 0123456789.aebntrufls\\\u00e9\n";
            StringBuilder token = new StringBuilder();
            for (int i = random.nextInt(5); i > 0; i--) {
                token.append(letters.charAt(random.nextInt(letters.length())));
            }
            byte[] bytes = token.toString().getBytes(StandardCharsets.UTF_8);
            tokens[id] = random.nextInt(10) == 0 && bytes.length > 1 ? Arrays.copyOf(bytes, bytes.length - 1) : bytes;
        }
        TokenTrie trie = new TokenTrie(tokens);
        GrammarState state =
                JsonSchema.grammar(PERSON, JsonSchema.Before.NOTHING).start();
        for (int step = 0; step < 60 && !state.mustEnd(); step++) {
            BitSet allowed = trie.allowed(state);
            List<Integer> some = new ArrayList<>();
            for (int id = 0; id < tokens.length; id++) {
                boolean may = tokens[id].length > 0 && state.after(tokens[id]) != null;
                assertEquals(may, allowed.get(id), "token " + id);
                if (may) {
                    some.add(id);
                }
            }
            if (some.isEmpty()) {
                break;
            }
            state = state.after(tokens[some.get(random.nextInt(some.size()))]);
        }
    }
}
