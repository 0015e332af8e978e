package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.TreeMap;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Ids, texts and streamed pieces of every golden text of every tokenizer, compared exactly. */
class TokenizerGoldenTest {
    /** How often each kind of thing was compared. */
    private final Map<String, Integer> compared = new TreeMap<>();

    @ParameterizedTest
    @ValueSource(
            strings = {
                "text/bytelevel",
                "text/llama3style",
                "text/spbpe",
                "tokenizers/gpt2-bytelevel-phi2",
                "tokenizers/llama-spbpe-openllama-zh-en",
                "tokenizers/llama2-rstrip-phi3mini",
                "tokenizers/llama3-bytelevel",
                "tokenizers/qwen2.5-bytelevel",
                "tokenizers/t5-unigram-t5small",
                "stories260k"
            })
    void everythingIsAsInTheReference(String name) {
        boolean own = name.startsWith("text/");
        Path folder = own ? TestData.resource(name) : Needs.shared("fixtures/" + name);
        JsonNode golden =
                TestData.json(folder.resolve(name.equals("stories260k") ? "tokenizer_golden.json" : "golden.json"));
        JsonNode items = golden.path(own ? "encode" : "items");
        assertTrue(items.size() > 10, "golden texts");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            for (JsonNode item : items) {
                compareItem(tokenizer, item);
            }
            for (JsonNode item : golden.path("streaming")) {
                List<String> expected = Fixtures.stream(item.path("pieces"))
                        .map(JsonNode::asText)
                        .toList();
                assertEquals(expected, pieces(tokenizer, Fixtures.ids(item.path("ids")), false));
                count("golden streams");
            }
            if (!own) {
                assertEquals(golden.path("vocab_size_with_added").asInt(), tokenizer.vocabularySize());
                golden.path("special_tokens").forEach(token -> compareToken(tokenizer, token));
            }
        }
        System.out.println(name + ": " + compared);
    }

    private void compareToken(Tokenizer tokenizer, JsonNode token) {
        int id = token.path("id").asInt();
        assertEquals(token.path("content").asText(), tokenizer.tokenOf(id));
        assertEquals(token.path("special").asBoolean(), tokenizer.isSpecial(id), () -> tokenizer.tokenOf(id));
        count("added tokens");
    }

    private void compareItem(Tokenizer tokenizer, JsonNode item) {
        String text = item.path("text").asText();
        int[] ids = Fixtures.ids(item.path("ids"));
        assertArrayEquals(ids, tokenizer.encode(text), text);
        count("ids");
        compareDecoded(tokenizer, item, "decoded", ids, false);
        compareDecoded(tokenizer, item, "decoded_skip_special", ids, true);
        if (item.has("ids_with_special")) {
            int[] withSpecial = Fixtures.ids(item.path("ids_with_special"));
            assertArrayEquals(withSpecial, tokenizer.encodeWithSpecialTokens(text), text);
            count("ids with special tokens");
            compareDecoded(tokenizer, item, "decoded_with_special", withSpecial, false);
            compareDecoded(tokenizer, item, "decoded_with_special_skip", withSpecial, true);
            compareNames(tokenizer, item, ids);
        }
    }

    private void compareDecoded(Tokenizer tokenizer, JsonNode item, String key, int[] ids, boolean skipSpecial) {
        assertTrue(item.has(key), key);
        String expected = item.path(key).asText();
        assertEquals(expected, tokenizer.decode(ids, skipSpecial), key);
        List<String> pieces = pieces(tokenizer, ids, skipSpecial);
        assertEquals(expected, String.join("", pieces), key);
        assertEquals(IncrementalDetokenizerTest.byTheRule(tokenizer, ids, skipSpecial), pieces, key);
        count(key);
        count("streamed by the rule");
    }

    private void compareNames(Tokenizer tokenizer, JsonNode item, int[] ids) {
        int unknown = tokenizer
                .unkToken()
                .map(tokenizer::idOf)
                .map(OptionalInt::getAsInt)
                .orElse(-1);
        List<String> tokens =
                Fixtures.stream(item.path("tokens")).map(JsonNode::asText).toList();
        for (int i = 0; i < ids.length; i++) {
            // For these the golden file has the text that was met rather than the token.
            if (ids[i] != unknown && !tokenizer.isSpecial(ids[i])) {
                assertEquals(tokens.get(i), tokenizer.tokenOf(ids[i]));
                assertEquals(OptionalInt.of(ids[i]), tokenizer.idOf(tokens.get(i)));
                count("names of tokens");
            }
        }
    }

    private void count(String what) {
        compared.merge(what, 1, Integer::sum);
    }

    /** One piece per id; the flush belongs to the last. */
    static List<String> pieces(Tokenizer tokenizer, int[] ids, boolean skipSpecial) {
        IncrementalDetokenizer decoder = tokenizer.detokenizer(skipSpecial);
        List<String> pieces = new ArrayList<>();
        for (int id : ids) {
            pieces.add(decoder.accept(id));
        }
        String rest = decoder.finish();
        if (!pieces.isEmpty()) {
            pieces.set(pieces.size() - 1, pieces.get(pieces.size() - 1) + rest);
        }
        return pieces;
    }
}
