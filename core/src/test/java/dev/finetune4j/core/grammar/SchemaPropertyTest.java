package dev.finetune4j.core.grammar;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import dev.finetune4j.core.SettingsException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Random schemas and random choices among the allowed tokens: a validator of other people accepts every document. */
class SchemaPropertyTest {
    private static final int MAX_BYTES = 1500;
    private static final SchemaRegistry REGISTRY =
            SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12);

    /** Single bytes, so that every text can be written, and pieces of texts. */
    private static byte[][] vocabulary(Random random) {
        byte[][] tokens = new byte[1000][];
        String letters = "{}[]\":, 0123456789.-aebntrufls\\\u00e9\u540d\n";
        for (int id = 0; id < tokens.length; id++) {
            StringBuilder token = new StringBuilder();
            for (int i = 1 + random.nextInt(4); i > 0; i--) {
                token.append(letters.charAt(random.nextInt(letters.length())));
            }
            tokens[id] = id < 256 ? new byte[] {(byte) id} : token.toString().getBytes(StandardCharsets.UTF_8);
        }
        return tokens;
    }

    @Test
    void everyDocumentIsValid() throws IOException {
        int schemas = Boolean.getBoolean("finetune4j.long") ? 20_000 : 300;
        byte[][] tokens = vocabulary(new Random(7));
        TokenTrie trie = new TokenTrie(tokens);
        int refused = 0;
        int documents = 0;
        for (int seed = 0; seed < schemas; seed++) {
            Random random = new Random(seed);
            String schema = new RandomSchemas(random).next().toString();
            Grammar grammar;
            try {
                grammar = JsonSchema.grammar(schema, JsonSchema.Before.NOTHING);
            } catch (SettingsException e) {
                assertFalse(e.problems().isEmpty());
                refused++;
                continue;
            }
            Schema judge = REGISTRY.getSchema(schema);
            for (int walk = 0; walk < 10; walk++) {
                byte[] text = walk(grammar, tokens, trie, random);
                if (text != null) {
                    documents++;
                    JsonNode value = new ObjectMapper().readTree(text);
                    String shown = "seed " + seed + ", schema " + schema + ", document "
                            + new String(text, StandardCharsets.UTF_8);
                    List<?> errors = errors(judge, value);
                    assertTrue(errors.isEmpty(), () -> errors + ", " + shown);
                }
            }
        }
        assertTrue(documents > 3 * schemas && refused < schemas / 2, documents + " documents, " + refused + " refused");
    }

    private static List<?> errors(Schema schema, JsonNode value) {
        return schema.validate(
                value, context -> context.executionConfig(config -> config.formatAssertionsEnabled(true)));
    }

    /** The validator knows which domains there are, so that they get one that there is. */
    @Test
    void addressesAreValid() throws IOException {
        String schema = "{\"type\": \"string\", \"format\": \"email\"}";
        Grammar grammar = JsonSchema.grammar(schema, JsonSchema.Before.NOTHING);
        Random random = new Random(2);
        byte[][] tokens = vocabulary(random);
        TokenTrie trie = new TokenTrie(tokens);
        for (int i = 0; i < 50; i++) {
            String text = new String(walk(grammar, tokens, trie, random), StandardCharsets.UTF_8);
            JsonNode address = new ObjectMapper().readTree(text.substring(0, text.lastIndexOf('.')) + ".com\"");
            assertTrue(errors(REGISTRY.getSchema(schema), address).isEmpty(), text);
        }
    }

    /** A random text; null when it gets too long. */
    private static byte[] walk(Grammar grammar, byte[][] tokens, TokenTrie trie, Random random) {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        GrammarState state = grammar.start();
        while (!state.mustEnd()) {
            if (text.size() > MAX_BYTES) {
                return null;
            }
            BitSet allowed = trie.allowed(state);
            assertFalse(allowed.isEmpty(), "a state from which nothing leads: " + text);
            if (state.mayEnd() && random.nextBoolean()) {
                break;
            }
            List<Integer> ends = new ArrayList<>();
            for (int end : new int[] {'"', ']', '}'}) {
                if (allowed.get(end)) {
                    ends.add(end);
                }
            }
            int[] all = allowed.stream().toArray();
            int id = !ends.isEmpty() && random.nextInt(3) > 0
                    ? ends.get(random.nextInt(ends.size()))
                    : all[random.nextInt(all.length)];
            text.writeBytes(tokens[id]);
            state = state.after(tokens[id]);
        }
        return text.toByteArray();
    }
}
