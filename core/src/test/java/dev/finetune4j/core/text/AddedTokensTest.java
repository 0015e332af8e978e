package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Tokens that only the files beside tokenizer.json add, name or flag: their ids, those of texts, and what decoding
 * skips, against transformers 5.18.
 */
class AddedTokensTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> BESIDE =
            List.of("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json");

    @TempDir
    private Path folder;

    record Case(String name, JsonNode golden) {
        @Override
        public String toString() {
            return name;
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        JSON.readTree(TestData.resource("text/added-tokens.json").toFile())
                .forEach(golden -> cases.add(new Case(golden.path("name").asText(), golden)));
        return cases;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void isAsInTransformers(Case one) throws IOException {
        JsonNode golden = one.golden();
        write(golden);
        if (golden.has("refused")) {
            ModelFileException refusal = assertThrows(ModelFileException.class, () -> Tokenizer.load(folder));
            golden.path("refused")
                    .forEach(token -> assertTrue(
                            refusal.getMessage().contains("\"" + token.asText() + "\" gets "), refusal::getMessage));
            return;
        }
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertEquals(golden.path("size").asInt(), tokenizer.vocabularySize());
            golden.path("tokens").properties().forEach(entry -> {
                int id = entry.getValue().path("id").asInt();
                assertEquals(id, tokenizer.idOf(entry.getKey()).orElse(-1), entry.getKey());
                assertEquals(entry.getKey(), tokenizer.tokenOf(id));
                assertEquals(entry.getValue().path("special").asBoolean(), tokenizer.isSpecial(id), entry.getKey());
            });
            for (JsonNode item : golden.path("encoded")) {
                String text = item.path("text").asText();
                int[] ids = Fixtures.ids(item.path("ids"));
                assertArrayEquals(ids, tokenizer.encode(text), text);
                assertEquals(item.path("shown").asText(), tokenizer.decode(ids, true), text);
            }
            Map<String, String> named = tokenizer.namedTokens();
            golden.path("named").properties().forEach(entry -> {
                String token = entry.getValue().asText();
                assertEquals(
                        Optional.of(token).filter(text -> !text.isEmpty()),
                        Optional.ofNullable(named.get(entry.getKey())));
            });
        }
    }

    private void write(JsonNode golden) throws IOException {
        Path base = TestData.resource("text/" + golden.path("base").asText()).resolve("tokenizer.json");
        ObjectNode tokenizer = (ObjectNode) JSON.readTree(base.toFile());
        golden.path("added_to_file").forEach(((ArrayNode) tokenizer.path("added_tokens"))::add);
        JSON.writeValue(folder.resolve("tokenizer.json").toFile(), tokenizer);
        for (String name : BESIDE) {
            if (golden.has(name)) {
                JSON.writeValue(folder.resolve(name).toFile(), golden.path(name));
            }
        }
    }

    private void tokenizer() throws IOException {
        Files.copy(TestData.resource("text/bytelevel/tokenizer.json"), folder.resolve("tokenizer.json"));
    }

    private void beside(String name, String json) throws IOException {
        Files.writeString(folder.resolve(name), json.replace('\'', '"'));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '@',
            quoteCharacter = '`',
            value = {
                "tokenizer_config.json @ {'added_tokens_decoder':{'x':{'content':'<|turn|>'}}} @ the key \"x\"",
                "tokenizer_config.json @ {'added_tokens_decoder':{'500':'<|turn|>'}} @ the id 500 to no token",
                "tokenizer_config.json @ {'added_tokens_decoder':{'500':{}}} @ the id 500 to no token",
                "tokenizer_config.json @ {'added_tokens_decoder':{'-3':{'content':'<|turn|>'}}} @ \"<|turn|>\" gets 500",
                "added_tokens.json @ {'<|turn|>':'500'} @ the token \"<|turn|>\" has the id \"500\"",
                "added_tokens.json @ {'<|turn|>':500,'<|over|>':500} @ gives the id 500 to \"<|turn|>\" and to \"<|over|>\"",
                "added_tokens.json @ {'<|turn|>':501} @ \"<|turn|>\" gets 500 where added_tokens.json says 501",
            })
    void whatCannotBeAddedIsNamedWithItsFile(String file, String json, String says) throws IOException {
        tokenizer();
        beside(file, json.replace('\'', '"'));
        ModelFileException refusal = assertThrows(ModelFileException.class, () -> Tokenizer.load(folder));
        assertTrue(refusal.getMessage().contains(says), refusal::getMessage);
        assertTrue(refusal.getMessage().contains(file), refusal::getMessage);
    }

    @Test
    void namesMayBeObjectsWithoutATypeToo() throws IOException {
        tokenizer();
        beside("tokenizer_config.json", "{'eos_token':{'content':'<|over|>','rstrip':true},'pad_token':'<|im_end|>'}");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertEquals(Optional.of("<|over|>"), tokenizer.eosToken());
            assertArrayEquals(new int[] {500, 71}, tokenizer.encode("<|over|>  a"));
            assertTrue(tokenizer.isSpecial(500));
        }
    }

    @Test
    void addedTokensAreAPartOfTheFingerprint() throws IOException {
        tokenizer();
        String alone = fingerprint();
        beside("tokenizer_config.json", "{'eos_token':'<|im_end|>'}");
        assertEquals(alone, fingerprint());
        beside("tokenizer_config.json", "{'eos_token':'<|over|>'}");
        String more = fingerprint();
        assertNotEquals(alone, more);
        beside("tokenizer_config.json", "{'eos_token':'<|end|>'}");
        assertNotEquals(more, fingerprint());
    }

    private String fingerprint() {
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            return tokenizer.fingerprint();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"tokenizer_config.json", "chat_template.json"})
    void theTemplateOfAProcessorServesWhereThereIsNoOther(String winner) throws IOException {
        tokenizer();
        beside("chat_template.json", "{'chat_template':'of chat_template.json'}");
        beside("tokenizer_config.json", "{}");
        beside(winner, "{'chat_template':'of " + winner + "'}");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertEquals(Optional.of("of " + winner), tokenizer.chatTemplateSource());
        }
    }
}
