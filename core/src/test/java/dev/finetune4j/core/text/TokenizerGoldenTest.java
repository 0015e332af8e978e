package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Ids, texts and streamed pieces of every golden text, compared exactly. */
class TokenizerGoldenTest {

    @ParameterizedTest
    @ValueSource(strings = {"bytelevel", "llama3style", "spbpe"})
    void referenceTokenizers(String name) {
        Path folder = TestData.resource("text/" + name);
        JsonNode items = TestData.json(folder.resolve("golden.json")).path("encode");
        assertTrue(items.size() > 10, "golden texts");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            for (JsonNode item : items) {
                String text = item.path("text").asText();
                int[] ids = Fixtures.ids(item.path("ids"));
                assertAll(
                        text,
                        () -> assertArrayEquals(ids, tokenizer.encode(text)),
                        () -> assertEquals(item.path("decoded").asText(), tokenizer.decode(ids)),
                        () -> assertEquals(item.path("decoded_skip_special").asText(), tokenizer.decode(ids, true)),
                        () -> assertEquals(
                                item.path("decoded").asText(), String.join("", pieces(tokenizer, ids, false))));
            }
        }
    }

    @Test
    void trainedTokenizer() {
        Path folder = TestData.shared("stories260k").orElse(null);
        assumeTrue(folder != null, TestData.ABSENT);
        compare(folder, folder.resolve("tokenizer_golden.json"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "gpt2-bytelevel-phi2",
                "llama-spbpe-openllama-zh-en",
                "llama2-rstrip-phi3mini",
                "llama3-bytelevel",
                "qwen2.5-bytelevel",
                "t5-unigram-t5small"
            })
    void publishedTokenizers(String name) {
        Path folder = TestData.shared("tokenizers").orElse(null);
        assumeTrue(folder != null, TestData.ABSENT);
        compare(folder.resolve(name), folder.resolve(name).resolve("golden.json"));
    }

    private static void compare(Path folder, Path goldenFile) {
        JsonNode golden = TestData.json(goldenFile);
        assertTrue(golden.path("items").size() > 10, "golden texts");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertEquals(golden.path("vocab_size_with_added").asInt(), tokenizer.vocabularySize());
            for (JsonNode token : golden.path("special_tokens")) {
                int id = token.path("id").asInt();
                assertEquals(token.path("content").asText(), tokenizer.tokenOf(id));
                assertEquals(token.path("special").asBoolean(), tokenizer.isSpecial(id), () -> tokenizer.tokenOf(id));
            }
            for (JsonNode item : golden.path("items")) {
                compareItem(tokenizer, item);
            }
            for (JsonNode item : golden.path("streaming")) {
                List<String> expected = Fixtures.stream(item.path("pieces"))
                        .map(JsonNode::asText)
                        .toList();
                assertEquals(expected, pieces(tokenizer, Fixtures.ids(item.path("ids")), false));
            }
        }
    }

    private static void compareItem(Tokenizer tokenizer, JsonNode item) {
        String text = item.path("text").asText();
        int[] ids = Fixtures.ids(item.path("ids"));
        int[] withSpecial = Fixtures.ids(item.path("ids_with_special"));
        assertAll(
                text,
                () -> assertArrayEquals(ids, tokenizer.encode(text), "ids"),
                () -> assertArrayEquals(withSpecial, tokenizer.encodeWithSpecialTokens(text), "with special"),
                () -> assertEquals(item.path("decoded").asText(), tokenizer.decode(ids)),
                () -> assertEquals(item.path("decoded_skip_special").asText(), tokenizer.decode(ids, true)),
                () -> assertEquals(item.path("decoded_with_special").asText(), tokenizer.decode(withSpecial)),
                () -> assertEquals(
                        item.path("decoded_with_special_skip").asText(), tokenizer.decode(withSpecial, true)),
                () -> assertEquals(item.path("decoded").asText(), String.join("", pieces(tokenizer, ids, false))),
                () -> assertEquals(
                        item.path("decoded_with_special_skip").asText(),
                        String.join("", pieces(tokenizer, withSpecial, true))));
        List<String> tokens =
                Fixtures.stream(item.path("tokens")).map(JsonNode::asText).toList();
        int unknown = tokenizer
                .unkToken()
                .map(tokenizer::idOf)
                .map(OptionalInt::getAsInt)
                .orElse(-1);
        for (int i = 0; i < ids.length; i++) {
            // For these the golden file has the text that was met rather than the token.
            if (ids[i] != unknown && !tokenizer.isSpecial(ids[i])) {
                assertEquals(tokens.get(i), tokenizer.tokenOf(ids[i]), text);
                assertEquals(OptionalInt.of(ids[i]), tokenizer.idOf(tokens.get(i)), text);
            }
        }
    }

    /** One piece per id; the flush belongs to the last. */
    static List<String> pieces(Tokenizer tokenizer, int[] ids, boolean skipSpecial) {
        StreamDecoder decoder = tokenizer.streamDecoder(skipSpecial);
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
