package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Texts and uses that bindings of tokenizers stumble over, for every kind of tokenizer. */
class TokenizerTrapsTest {
    @TempDir
    private Path folder;

    static List<String> all() {
        return List.of(
                "text/bytelevel",
                "text/llama3style",
                "text/spbpe",
                "tokenizers/gpt2-bytelevel-phi2",
                "tokenizers/llama-spbpe-openllama-zh-en",
                "tokenizers/llama2-rstrip-phi3mini",
                "tokenizers/llama3-bytelevel",
                "tokenizers/qwen2.5-bytelevel",
                "tokenizers/t5-unigram-t5small",
                "stories260k");
    }

    private static Tokenizer load(String name) {
        if (name.startsWith("text/")) {
            return Tokenizer.load(TestData.resource(name));
        }
        Path shared = Needs.shared("fixtures/" + name);
        return Tokenizer.load(shared);
    }

    @ParameterizedTest
    @MethodSource("all")
    void oddTexts(String name) {
        try (Tokenizer tokenizer = load(name)) {
            assertArrayEquals(new int[0], tokenizer.encode(""));
            assertArrayEquals(new int[0], tokenizer.encodePlain(""));
            assertEquals("", tokenizer.decode(new int[0]));
            assertEquals("", tokenizer.detokenizer(true).finish());
            // Half a surrogate pair is U+FFFD wherever it stands, and a whole pair is one character.
            for (String odd : List.of("a\uD83Db", "\uDE42", "\uD83D", "\uDE42\uD83D", "x \uD83D\uD83D\uDE42")) {
                String meant = new String(odd.getBytes(StandardCharsets.UTF_16LE), StandardCharsets.UTF_16LE);
                assertArrayEquals(tokenizer.encode(meant), tokenizer.encode(odd));
                assertArrayEquals(tokenizer.encodePlain(meant), tokenizer.encodePlain(odd));
            }
            assertArrayEquals(tokenizer.encode("🙂"), tokenizer.encode("\uD83D\uDE42"));
        }
    }

    @Tag("slow")
    @ParameterizedTest
    @MethodSource("all")
    void aMegabyteIsNeitherCutNorPadded(String name) {
        try (Tokenizer tokenizer = load(name)) {
            String line = "Once upon a time, 42 times: Ünïcödé. ";
            int lines = 1_000_000 / line.length();
            int[] two = tokenizer.encode(line + line);
            int[] three = tokenizer.encode(line + line + line);
            int[] all = tokenizer.encode(line.repeat(lines));
            assertEquals(two.length + (three.length - two.length) * (lines - 2), all.length);
            String text = tokenizer.decode(all);
            assertTrue(text.startsWith(tokenizer.decode(two).trim()), "start");
            assertTrue(text.endsWith(tokenizer.decode(two).substring(5)), "end");
        }
    }

    @Tag("slow")
    @ParameterizedTest
    @MethodSource("all")
    void aTextOfSpecialTokensAlone(String name) {
        try (Tokenizer tokenizer = load(name)) {
            int[] specials = IntStream.range(0, tokenizer.vocabularySize())
                    .filter(tokenizer::isSpecial)
                    .toArray();
            String text = Arrays.stream(specials).mapToObj(tokenizer::tokenOf).collect(Collectors.joining());
            int[] once = specialsIn(tokenizer, text);
            int[] often = specialsIn(tokenizer, text.repeat(50));
            assertTrue(once.length > 0, name);
            assertArrayEquals(
                    IntStream.range(0, 50).flatMap(i -> Arrays.stream(once)).toArray(), often);
            for (int special : specials) {
                assertArrayEquals(new int[] {special}, specialsIn(tokenizer, tokenizer.tokenOf(special)));
            }
            int unknown = tokenizer
                    .unkToken()
                    .map(tokenizer::idOf)
                    .orElse(OptionalInt.empty())
                    .orElse(-1);
            assertTrue(
                    Arrays.stream(tokenizer.encodePlain(text.repeat(50)))
                            .allMatch(id -> id == unknown || !tokenizer.isSpecial(id)),
                    name);
        }
    }

    private static int[] specialsIn(Tokenizer tokenizer, String text) {
        return Arrays.stream(tokenizer.encode(text))
                .filter(tokenizer::isSpecial)
                .toArray();
    }

    @ParameterizedTest
    @MethodSource("all")
    void eightThreadsAtOnce(String name) throws InterruptedException, ExecutionException {
        ExecutorService threads = Executors.newFixedThreadPool(8);
        try (Tokenizer tokenizer = load(name)) {
            List<Future<?>> done = new ArrayList<>();
            for (int thread = 0; thread < 8; thread++) {
                String text = "Thread " + thread + " says: naïve 你好 🙂 <s>";
                done.add(threads.submit(() -> {
                    int[] ids = tokenizer.encode(text);
                    int[] plain = tokenizer.encodePlain(text);
                    String decoded = tokenizer.decode(ids);
                    for (int turn = 0; turn < 100; turn++) {
                        assertArrayEquals(ids, tokenizer.encode(text));
                        assertArrayEquals(plain, tokenizer.encodePlain(text));
                        assertEquals(decoded, String.join("", TokenizerGoldenTest.pieces(tokenizer, ids, false)));
                    }
                }));
            }
            for (Future<?> task : done) {
                task.get();
            }
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void closingWhileOthersUseItEndsThemCleanly() throws InterruptedException, ExecutionException {
        ExecutorService threads = Executors.newFixedThreadPool(8);
        try {
            for (int round = 0; round < 20; round++) {
                Tokenizer tokenizer = load("text/bytelevel");
                List<Future<Integer>> done = new ArrayList<>();
                for (int thread = 0; thread < 8; thread++) {
                    done.add(threads.submit(() -> useUntilClosed(tokenizer)));
                }
                Thread.sleep(5);
                tokenizer.close();
                tokenizer.close();
                for (Future<Integer> calls : done) {
                    assertTrue(calls.get() >= 0);
                }
            }
        } finally {
            threads.shutdownNow();
        }
    }

    private static int useUntilClosed(Tokenizer tokenizer) {
        for (int calls = 0; ; calls++) {
            try {
                assertEquals("Hello <|im_end|>", tokenizer.decode(tokenizer.encode("Hello <|im_end|>")));
                assertTrue(tokenizer.encodePlain("a<|im_end|>").length > 2);
            } catch (IllegalStateException e) {
                assertTrue(e.getMessage().contains("closed"), e.getMessage());
                return calls;
            }
        }
    }

    @Test
    void theFingerprintIsThatOfTheFile() throws IOException {
        Path original = TestData.resource("text/spbpe/tokenizer.json");
        String text = Files.readString(original);
        String fingerprint = fingerprint(text);
        assertEquals(fingerprint(text), fingerprint);
        assertTrue(fingerprint.matches("[0-9a-f]{64}"), fingerprint);
        try (Tokenizer tokenizer = Tokenizer.load(original)) {
            assertEquals(fingerprint, tokenizer.fingerprint());
            tokenizer.close();
            assertEquals(fingerprint, tokenizer.fingerprint());
        }
        assertNotEquals(fingerprint, fingerprint(text + "\n"));
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"chat_template\": \"other\"}");
        assertEquals(fingerprint, fingerprint(text));
    }

    /** Computed by another program from the same bytes. */
    @Test
    void theFingerprintIsPlainSha256() throws IOException {
        String json = "{\"version\":\"1.0\",\"added_tokens\":[],\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"é\":0,"
                + "\"[UNK]\":1},\"unk_token\":\"[UNK]\"}}";
        assertEquals("c7b295a574e5cd2bc18bbd24244c71a69551454e5dad0449df53ff7510eb6213", fingerprint(json));
    }

    private String fingerprint(String json) throws IOException {
        Files.writeString(folder.resolve("tokenizer.json"), json);
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            return tokenizer.fingerprint();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"-1", "2147483647", "4294967296", "1.5", "\"7\"", "null"})
    void anIdThatIsNone(String id) throws IOException {
        ObjectNode definition = (ObjectNode) TestData.json(TestData.resource("text/bytelevel/tokenizer.json"));
        ((ArrayNode) definition.path("added_tokens"))
                .addObject()
                .put("content", "<new>")
                .set("id", TestData.json(Files.writeString(folder.resolve("id"), id)));
        Files.writeString(folder.resolve("tokenizer.json"), definition.toString());
        String message = assertThrows(ModelFileException.class, () -> Tokenizer.load(folder))
                .getMessage();
        assertTrue(message.contains("tokenizer.json") && message.contains("<new>") && message.contains(id), message);
    }

    @Test
    void tokensThatLookLikeBytesAreWhatTheySpellWithoutByteFallback() throws IOException {
        ObjectNode definition = (ObjectNode) TestData.json(TestData.resource("text/spbpe/tokenizer.json"));
        definition.putObject("decoder").put("type", "Fuse");
        Files.writeString(folder.resolve("tokenizer.json"), definition.toString());
        try (Tokenizer literal = Tokenizer.load(folder);
                Tokenizer bytes = load("text/spbpe")) {
            int id = bytes.idOf("<0xC3>").orElseThrow();
            assertTrue(bytes.isByte(id));
            assertEquals(0xC3, bytes.byteOf(id));
            assertEquals(false, literal.isByte(id));
            assertEquals("<0xC3>", literal.detokenizer(false).accept(id));
        }
    }
}
