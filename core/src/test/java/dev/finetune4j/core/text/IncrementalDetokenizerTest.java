package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class IncrementalDetokenizerTest {
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
    private static final String LONG = "Yi 是谁?她说:\u201c你好\u201d 👩‍💻 naïve  two spaces\n\n\ttab; "
            .concat("ᐊᐱᕐᓄᑦ 𝒳 end. ")
            .repeat(6);

    @ParameterizedTest
    @ValueSource(strings = {"bytelevel", "llama3style", "spbpe"})
    void longTextsKeepTheRule(String name) {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/" + name))) {
            int[] ids = tokenizer.encode(LONG);
            assertEquals(byTheRule(tokenizer, ids, false), pieces(tokenizer, ids, false));
            assertEquals(tokenizer.decode(ids), String.join("", pieces(tokenizer, ids, false)));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bytelevel", "spbpe"})
    void randomIdsKeepTheRule(String name) {
        long seed = System.nanoTime();
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/" + name))) {
            checkRandom(tokenizer, new Random(seed), "seed " + seed);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"t5-unigram-t5small", "llama2-rstrip-phi3mini", "llama-spbpe-openllama-zh-en"})
    void randomIdsOfPublishedTokenizersKeepTheRule(String name) {
        Path folder = Needs.shared("fixtures/tokenizers");
        long seed = System.nanoTime();
        try (Tokenizer tokenizer = Tokenizer.load(folder.resolve(name))) {
            checkRandom(tokenizer, new Random(seed), "seed " + seed);
        }
    }

    private static void checkRandom(Tokenizer tokenizer, Random random, String hint) {
        int[] bytes = IntStream.range(0, tokenizer.vocabularySize())
                .filter(tokenizer::isByte)
                .toArray();
        int[] specials = IntStream.range(0, tokenizer.vocabularySize())
                .filter(tokenizer::isSpecial)
                .toArray();
        for (int round = 0; round < 40; round++) {
            int[] ids = new int[150];
            for (int i = 0; i < ids.length; i++) {
                int kind = random.nextInt(10);
                ids[i] = kind < 3 && bytes.length > 0
                        ? bytes[random.nextInt(bytes.length)]
                        : kind == 9
                                ? specials[random.nextInt(specials.length)]
                                : random.nextInt(tokenizer.vocabularySize());
            }
            boolean skip = round % 2 == 0;
            assertEquals(byTheRule(tokenizer, ids, skip), pieces(tokenizer, ids, skip), hint);
        }
    }

    @Tag("slow")
    @ParameterizedTest
    @ValueSource(
            strings = {"text/spbpe", "tokenizers/llama2-rstrip-phi3mini", "tokenizers/llama-spbpe-openllama-zh-en"})
    void longRunsOfBytesKeepTheRule(String name) {
        Path folder = folder(name);
        long seed = System.nanoTime();
        Random random = new Random(seed);
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            for (int round = 0; round < 60; round++) {
                int[] ids = bytesAndOthers(tokenizer, random);
                boolean skip = round % 2 == 0;
                assertEquals(byTheRule(tokenizer, ids, skip), pieces(tokenizer, ids, skip), "seed " + seed);
            }
        }
    }

    /** Runs of up to 200 bytes: right, with a wrong byte somewhere, or cut off; with and without tokens between. */
    private static int[] bytesAndOthers(Tokenizer tokenizer, Random random) {
        IntStream.Builder ids = IntStream.builder();
        for (int part = 0; part < 6; part++) {
            byte[] bytes = random.ints(5 + random.nextInt(60), 0, 4)
                    .mapToObj(kind -> new String[] {"é", "你", "🙂", "a "}[kind])
                    .collect(Collectors.joining())
                    .getBytes(StandardCharsets.UTF_8);
            if (random.nextInt(3) == 0) {
                bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
            }
            int end = random.nextInt(4) == 0 ? bytes.length - 1 - random.nextInt(3) : bytes.length;
            for (int i = 0; i < end; i++) {
                ids.add(tokenizer.idOf("<0x%02X>".formatted(bytes[i])).getAsInt());
                if (random.nextInt(40) == 0) {
                    ids.add(tokenizer.idOf(tokenizer.eosToken().orElseThrow()).getAsInt());
                }
            }
            for (int i = random.nextInt(4); i > 0; i--) {
                ids.add(random.nextInt(tokenizer.vocabularySize()));
            }
        }
        return ids.build().toArray();
    }

    /** What takes longest: text that no window may cut, and text that is held back for long. */
    @Tag("slow")
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
    void longStreamsAreQuick(String name) {
        Path folder = folder(name);
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            int count = 0;
            double most = 0;
            for (String part : List.of(LONG, "🙂", "\uFFFD", "ကခဂ", " ", "a", "\n", "🙂\uFFFD b")) {
                String text = part;
                while (tokenizer.encode(text).length < 5_000 && text.length() < 50_000) {
                    text = text + text;
                }
                int[] ids = tokenizer.encode(text);
                if (ids.length < 1_000) {
                    continue;
                }
                String expected = tokenizer.decode(ids);
                long start = THREADS.getCurrentThreadCpuTime();
                String streamed = String.join("", pieces(tokenizer, ids, false));
                double micros = (THREADS.getCurrentThreadCpuTime() - start) / 1e3 / ids.length;
                assertEquals(expected, streamed, part);
                // Decoding all that is there so far takes 400 µs or more in the mean, a window some 10 µs.
                assertTrue(micros < 200, () -> part + ": " + micros + " µs a token");
                count += ids.length;
                most = Math.max(most, micros);
            }
            System.out.printf("%s: %d tokens streamed, at most %.1f µs a token%n", name, count, most);
        }
    }

    private static Path folder(String name) {
        if (name.startsWith("text/")) {
            return TestData.resource(name);
        }
        Path folder = Needs.shared("fixtures/" + name);
        return folder;
    }

    @Test
    void aCharacterIsHeldBackUntilItIsWhole() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/spbpe"))) {
            int[] bytes = IntStream.of(0xF0, 0x9F, 0x99, 0x82)
                    .map(b -> tokenizer.idOf("<0x%02X>".formatted(b)).getAsInt())
                    .toArray();
            IncrementalDetokenizer decoder = tokenizer.detokenizer(false);
            assertEquals("", decoder.accept(bytes[0]));
            assertEquals("", decoder.accept(bytes[1]));
            assertEquals("", decoder.accept(bytes[2]));
            assertEquals("🙂", decoder.accept(bytes[3]));
            assertEquals("", decoder.finish());
            assertEquals("", decoder.accept(bytes[0]));
            assertEquals("\uFFFD", decoder.finish());
            assertEquals("", decoder.finish());
        }
    }

    @Test
    void specialTokensAreLeftOutOnRequest() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            int[] ids = tokenizer.encode("<|im_start|>hi<|im_end|>");
            assertEquals("hi", String.join("", pieces(tokenizer, ids, true)));
            assertEquals("<|im_start|>hi<|im_end|>", String.join("", pieces(tokenizer, ids, false)));
        }
    }

    @Test
    void aRunOfBytesThatTurnsOutWrongChangesAllOfIt() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/spbpe"))) {
            int first = tokenizer.idOf("<0xC3>").getAsInt();
            int second = tokenizer.idOf("<0xA9>").getAsInt();
            int wrong = tokenizer.idOf("<0xFF>").getAsInt();
            int[] ids = new int[42];
            for (int i = 0; i < 40; i += 2) {
                ids[i] = first;
                ids[i + 1] = second;
            }
            ids[40] = wrong;
            ids[41] = tokenizer.encode("Hello")[0];
            List<String> pieces = pieces(tokenizer, ids, false);
            assertEquals("é".repeat(20), String.join("", pieces.subList(0, 41)));
            assertEquals(byTheRule(tokenizer, ids, false), pieces);
        }
    }

    @Test
    void aSpaceSurvivesManySkippedTokens() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/spbpe"))) {
            int[] ids = IntStream.concat(
                            IntStream.concat(
                                    Arrays.stream(tokenizer.encode("Hello")),
                                    IntStream.generate(() -> 2).limit(60)),
                            Arrays.stream(tokenizer.encode("world")))
                    .toArray();
            assertEquals("Hello world", String.join("", pieces(tokenizer, ids, true)));
        }
    }

    @Test
    void refusesNegativeIdsAndAClosedTokenizer() {
        Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"));
        IncrementalDetokenizer decoder = tokenizer.detokenizer(false);
        String message = assertThrows(IllegalArgumentException.class, () -> decoder.accept(-100))
                .getMessage();
        assertTrue(message.contains("-100"), message);
        tokenizer.close();
        assertThrows(IllegalStateException.class, () -> decoder.accept(1));
    }

    private static List<String> pieces(Tokenizer tokenizer, int[] ids, boolean skip) {
        List<String> pieces = TokenizerGoldenTest.pieces(tokenizer, ids, skip);
        assertFalse(pieces.isEmpty());
        return pieces;
    }

    /** The rule as it is written down: decode everything each time. */
    static List<String> byTheRule(Tokenizer tokenizer, int[] ids, boolean skip) {
        List<String> pieces = new ArrayList<>();
        int emitted = 0;
        for (int i = 1; i <= ids.length; i++) {
            String text = tokenizer.decode(Arrays.copyOf(ids, i), skip);
            int points = text.codePointCount(0, text.length());
            if (points <= emitted || (text.endsWith("\uFFFD") && i < ids.length)) {
                pieces.add("");
            } else {
                pieces.add(text.substring(text.offsetByCodePoints(0, emitted)));
                emitted = points;
            }
        }
        return pieces;
    }
}
