package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TokenizerTest {
    @TempDir
    Path folder;

    @Test
    void longTextsAreNeitherCutNorPaddedWhateverTheFileSays() throws IOException {
        ObjectNode definition = (ObjectNode) TestData.json(TestData.resource("text/bytelevel/tokenizer.json"));
        definition
                .putObject("truncation")
                .put("direction", "Right")
                .put("max_length", 8)
                .put("strategy", "LongestFirst")
                .put("stride", 0);
        definition
                .putObject("padding")
                .put("direction", "Right")
                .put("pad_id", 0)
                .put("pad_type_id", 0)
                .put("pad_token", "<|endoftext|>")
                .putNull("pad_to_multiple_of")
                .putObject("strategy")
                .put("Fixed", 16);
        Files.writeString(folder.resolve("tokenizer.json"), definition.toString());
        String text = "word ".repeat(5_000);
        try (Tokenizer limited = Tokenizer.load(folder);
                Tokenizer plain = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            assertArrayEquals(plain.encode(text), limited.encode(text));
            assertEquals(text, limited.decode(limited.encode(text)));
            assertArrayEquals(plain.encode("hi"), limited.encodeWithSpecialTokens("hi"));
        }
    }

    @Test
    void aDefinitionThatContradictsItselfIsABadCheckpoint() throws IOException {
        ObjectNode definition = (ObjectNode) TestData.json(TestData.resource("text/bytelevel/tokenizer.json"));
        ObjectNode model = (ObjectNode) definition.get("model");
        model.put("unk_token", "[absent]").putArray("merges");
        ((ObjectNode) model.get("vocab")).remove("z");
        Files.writeString(folder.resolve("tokenizer.json"), definition.toString());
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            String message = assertThrows(ModelFileException.class, () -> tokenizer.encode("z"))
                    .getMessage();
            assertTrue(message.contains("[absent]") && message.contains("inconsistent"), message);
        }
    }

    @Test
    void knowsItsSpecialTokens() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/spbpe/tokenizer.json"))) {
            assertEquals(Optional.of("<s>"), tokenizer.bosToken());
            assertEquals(Optional.of("</s>"), tokenizer.eosToken());
            assertEquals(Optional.of("<unk>"), tokenizer.padToken());
            assertEquals(OptionalInt.of(4), tokenizer.idOf("<|im_end|>"));
            assertEquals(OptionalInt.empty(), tokenizer.idOf("<|eot_id|>"));
            assertEquals("</s>", tokenizer.tokenOf(2));
            assertTrue(tokenizer.isSpecial(2));
            assertFalse(tokenizer.isSpecial(100));
            assertFalse(tokenizer.isSpecial(-1));
            int size = tokenizer.vocabularySize();
            String message = assertThrows(IllegalArgumentException.class, () -> tokenizer.tokenOf(size))
                    .getMessage();
            assertTrue(message.contains(Integer.toString(size)), message);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bytelevel", "spbpe"})
    void plainTextHoldsNoSpecialTokens(String name) {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/" + name))) {
            checkPlain(tokenizer);
        }
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
    void plainTextHoldsNoSpecialTokensInPublishedTokenizers(String name) {
        Path shared = Needs.shared("fixtures/tokenizers");
        try (Tokenizer tokenizer = Tokenizer.load(shared.resolve(name))) {
            checkPlain(tokenizer);
            JsonNode golden = TestData.json(shared.resolve(name).resolve("golden.json"));
            for (JsonNode token : golden.path("special_tokens")) {
                if (!token.path("special").asBoolean()) {
                    int id = token.path("id").asInt();
                    int[] ids = tokenizer.encodePlain(
                            " <unk></s>" + token.path("content").asText());
                    assertTrue(Arrays.stream(ids).anyMatch(i -> i == id), token::toString);
                }
            }
        }
    }

    private static void checkPlain(Tokenizer tokenizer) {
        int unknown = tokenizer
                .unkToken()
                .map(tokenizer::idOf)
                .map(OptionalInt::getAsInt)
                .orElse(-1);
        for (int id = 0; id < tokenizer.vocabularySize(); id++) {
            if (!tokenizer.isSpecial(id)) {
                continue;
            }
            String text = "say " + tokenizer.tokenOf(id) + " twice" + tokenizer.tokenOf(id);
            int[] ids = tokenizer.encodePlain(text);
            assertTrue(
                    Arrays.stream(ids).noneMatch(i -> tokenizer.isSpecial(i) && i != unknown),
                    () -> text + " -> " + Arrays.toString(ids));
            if (Arrays.stream(ids).noneMatch(i -> i == unknown)) {
                assertEquals(text, tokenizer.decode(ids));
            }
        }
        String ordinary = "Nothing special: 你好, <b>x</b>.\n";
        assertArrayEquals(tokenizer.encode(ordinary), tokenizer.encodePlain(ordinary));
    }

    @Test
    void plainTextOutsideLookAlikesHasTheUsualIds() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            int[] ids = tokenizer.encodePlain("Hello world <|im_end|>");
            assertArrayEquals(tokenizer.encode("Hello world"), Arrays.copyOf(ids, 7));
            assertFalse(Arrays.stream(ids).anyMatch(id -> id == 2));
            assertArrayEquals(new int[] {2}, tokenizer.encode("<|im_end|>"));
        }
    }

    @Test
    void anyStringSurvivesTheRoundTrip() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            for (int round = 0; round < 300; round++) {
                String text = IntStream.range(0, random.nextInt(40))
                        .map(i -> random.nextInt(random.nextBoolean() ? 128 : 0x11_0000))
                        .filter(c -> c < Character.MIN_SURROGATE || c > Character.MAX_SURROGATE)
                        .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                        .toString();
                assertEquals(text, tokenizer.decode(tokenizer.encode(text)), "seed " + seed);
            }
            assertEquals("a\uFFFDb", tokenizer.decode(tokenizer.encode("a\uD83Db")));
            assertEquals("a\u0000b", tokenizer.decode(tokenizer.encode("a\u0000b")));
        }
    }

    @Test
    void idsThatNoTokenHasAreLeftOutAndNegativeOnesRefused() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            assertEquals("Hello", tokenizer.decode(new int[] {1_000_000, 465}));
            String message = assertThrows(IllegalArgumentException.class, () -> tokenizer.decode(new int[] {465, -100}))
                    .getMessage();
            assertTrue(message.contains("ids[1] is -100"), message);
        }
    }

    @Test
    void closingTwiceIsFineAndUseAfterCloseIsNot() {
        Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"));
        tokenizer.encodePlain("<|im_end|>");
        tokenizer.close();
        tokenizer.close();
        assertAll(
                () -> assertThrows(IllegalStateException.class, () -> tokenizer.encode("a")),
                () -> assertThrows(IllegalStateException.class, () -> tokenizer.encodeWithSpecialTokens("a")),
                () -> assertThrows(IllegalStateException.class, () -> tokenizer.encodePlain("<|im_end|>")),
                () -> assertThrows(IllegalStateException.class, () -> tokenizer.decode(new int[] {1})));
    }

    @Test
    void manyThreadsMayUseOneTokenizer() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            int[] expected = tokenizer.encode("Hello world");
            int[] plain = tokenizer.encodePlain("a<|im_end|>");
            assertTrue(IntStream.range(0, 400)
                    .parallel()
                    .allMatch(i -> Arrays.equals(expected, tokenizer.encode("Hello world"))
                            && Arrays.equals(plain, tokenizer.encodePlain("a<|im_end|>"))));
        }
    }

    @Test
    void leavesNoTraceInTheSystemProperties() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            assertNotEquals(0, tokenizer.vocabularySize());
            assertNull(System.getProperty("RUST_LIBRARY_PATH"));
            assertNull(System.getProperty("ai.djl.offline"));
        }
    }

    @Test
    void readsTheChatTemplateFromEachPlace() throws IOException {
        Files.copy(TestData.resource("text/bytelevel/tokenizer.json"), folder.resolve("tokenizer.json"));
        assertEquals(Optional.empty(), template());
        Path config = folder.resolve("tokenizer_config.json");
        Files.writeString(config, "{\"chat_template\": \"one\"}");
        assertEquals(Optional.of("one"), template());
        Files.writeString(
                config,
                "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"},"
                        + " {\"name\": \"default\", \"template\": \"d\"}]}");
        assertEquals(Optional.of("d"), template());
        Files.writeString(folder.resolve("chat_template.jinja"), "file\n");
        assertEquals(Optional.of("file\n"), template());
    }

    private Optional<String> template() {
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            return tokenizer.chatTemplateSource();
        }
    }

    @Test
    void readsTokensOfEachSpelling() throws IOException {
        Files.copy(TestData.resource("text/bytelevel/tokenizer.json"), folder.resolve("tokenizer.json"));
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"eos_token\": {\"content\": \"<|im_end|>\"}, \"bos_token\": null}");
        Files.writeString(
                folder.resolve("special_tokens_map.json"),
                "{\"eos_token\": \"<|eot_id|>\", \"pad_token\": {\"content\": \"<|endoftext|>\"}}");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertEquals(Optional.of("<|eot_id|>"), tokenizer.eosToken(), "the map goes first, as in transformers");
            assertEquals(Optional.of("<|endoftext|>"), tokenizer.padToken());
            assertEquals(Optional.empty(), tokenizer.bosToken());
        }
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"eos_token\": {\"content\": \"<|im_end|>\"}, \"added_tokens_decoder\": {}}");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertEquals(Optional.of("<|im_end|>"), tokenizer.eosToken(), "with all tokens in it, the map is not read");
            assertEquals(Optional.empty(), tokenizer.padToken());
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{                          | no valid JSON",
                "[]                         | no JSON object",
                "{\"version\": \"1.0\"}     | no object \"model\"",
                "{\"model\": {\"type\": \"Nonsense\"}} | not accepted",
                "<html>Not found</html>     | is a web page"
            })
    void aDamagedFileIsNamed(String content, String reason) throws IOException {
        Path file = Files.writeString(folder.resolve("tokenizer.json"), content);
        String message = assertThrows(ModelFileException.class, () -> Tokenizer.load(folder))
                .getMessage();
        assertTrue(message.contains(file.toString()) && message.contains(reason), message);
    }

    @Test
    void aMissingFileIsNamedWithTheRemedy() throws IOException {
        assertTrue(failure(folder).contains(folder.resolve("tokenizer.json").toString()));
        assertTrue(failure(folder.resolve("nowhere/tokenizer.json")).contains("does not exist"));
        Files.writeString(folder.resolve("tokenizer.model"), "x");
        String message = failure(folder);
        assertTrue(message.contains("tokenizer.model") && message.contains("save_pretrained"), message);
        Files.write(folder.resolve("tokenizer.json"), new byte[] {(byte) 0xFF, (byte) 0xFE});
        assertTrue(failure(folder).contains("UTF-8"));
    }

    private static String failure(Path path) {
        return assertThrows(ModelFileException.class, () -> Tokenizer.load(path))
                .getMessage();
    }

    @Test
    void platformsAreSpelledAsInTheJar() {
        assertEquals("linux-x86_64", NativeLibrary.platform("Linux", "amd64"));
        assertEquals("linux-aarch64", NativeLibrary.platform("Linux", "aarch64"));
        assertEquals("osx-aarch64", NativeLibrary.platform("Mac OS X", "aarch64"));
        assertEquals("win-x86_64", NativeLibrary.platform("Windows 11", "amd64"));
    }

    /** But for a blank that some tokenizers put before a text and drop again. */
    @ParameterizedTest
    @ValueSource(strings = {"bytelevel", "llama3style", "spbpe"})
    void theBytesOfTokensAreThoseOfTheText(String name) {
        String text = "Yi \u662f\u8c01? na\u00efve \ud83d\udc69\u200d\ud83d\udcbb  two spaces\n\ttab; 123";
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/" + name))) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            for (int id : tokenizer.encode(text)) {
                bytes.writeBytes(tokenizer.bytesOf(id));
            }
            String written = bytes.toString(StandardCharsets.UTF_8);
            assertEquals(text, written.startsWith(" ") ? written.substring(1) : written);
            int eos = tokenizer.idOf(tokenizer.eosToken().orElseThrow()).orElseThrow();
            assertEquals(0, tokenizer.bytesOf(eos).length);
            assertEquals(0, tokenizer.bytesOf(1 << 20).length);
        }
    }
}
