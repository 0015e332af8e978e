package dev.finetune4j.examples.basemodel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BpeTrainerTest {
    private static final int SIZE = 1600;
    private static final List<String> ODD_TEXTS = List.of(
            "",
            " ",
            "  two  spaces ",
            "tab\tand\nline\r\n\n end",
            "I'm sure you'll say it's Bob's, we've they'd don't I're",
            "全角\u3000空格和 半角 空格",
            "no\u00a0break",
            "2026年11月23日 3.14 x2y",
            "emoji 😀👩‍👩‍👧 ok",
            "Ünïcödé é e\u0301",
            "!!!???……——“引号”『』",
            "龘靐齉爩 rare",
            "日本語 ひらがな 한국어 ру́сский العربية",
            "\u0000\u0007 control",
            "¼ ² Ⅷ ٣");

    private static BaseCorpus corpus;
    private static BpeTokenizer trained;

    @BeforeAll
    static void train() {
        corpus = BaseCorpus.generate(7);
        trained = new BpeTrainer(SIZE).train(corpus.tokenizerTexts());
    }

    @Test
    void theReferenceTokenizerReadsTheFilesAndAgreesOnEveryText(@TempDir Path folder) throws IOException {
        trained.write(folder);
        List<String> texts = new ArrayList<>(corpus.tokenizerTexts());
        texts.addAll(ODD_TEXTS);
        try (Tokenizer reference = Tokenizer.load(folder)) {
            for (String text : texts) {
                int[] ids = reference.encode(text);
                List<String> tokens =
                        Arrays.stream(ids).mapToObj(reference::tokenOf).toList();
                assertEquals(trained.split(text), tokens, () -> "tokens of " + text);
                assertEquals(text, reference.decode(ids));
            }
        }
    }

    @Test
    void specialTokensAreSingleIdsAndNothingIsAddedAround(@TempDir Path folder) throws IOException {
        trained.write(folder);
        try (Tokenizer reference = Tokenizer.load(folder)) {
            String text = "<|im_start|>user\n你好<|im_end|>\n<|endoftext|>";
            int[] ids = reference.encodeWithSpecialTokens(text);
            assertEquals(1, ids[0]);
            assertEquals(0, ids[ids.length - 1]);
            assertEquals(2, ids[ids.length - 3]);
            assertEquals(text, reference.decode(ids));
            assertArrayEquals(ids, reference.encode(text));
        }
    }

    @Test
    void tokensAreSingleCharactersWordsAndDigits() {
        Set<String> tokens = new HashSet<>(trained.tokens());
        assertEquals(trained.size(), tokens.size());
        assertEquals(SIZE, trained.size());
        for (BpeTokenizer.Merge merge : trained.merges()) {
            String token = merge.left() + merge.right();
            boolean ascii = token.chars()
                    .allMatch(c ->
                            (c > 0x20 && c < 0x7F) || c == ByteAlphabet.symbol(' ') || c == ByteAlphabet.symbol('\n'));
            assertFalse(token.matches(".*[0-9].*"), token);
            assertTrue(ascii || (token.length() <= 4 && token.chars().noneMatch(c -> c < 0x7F)), token);
        }
        assertTrue(tokens.contains(ByteAlphabet.write("你")));
        assertTrue(tokens.contains(ByteAlphabet.write(" capital")));
        assertEquals(List.of("1", "5"), trained.split("15"));
    }

    @Test
    void nearlyEveryCharacterOfTheCorpusIsOneToken() {
        Map<String, Integer> pieces = new HashMap<>();
        for (String text : corpus.tokenizerTexts()) {
            text.codePoints().filter(Character::isIdeographic).forEach(c -> {
                String character = Character.toString(c);
                pieces.computeIfAbsent(character, key -> trained.split(key).size());
            });
        }
        long single = pieces.values().stream().filter(count -> count == 1).count();
        assertTrue(single >= 0.95 * pieces.size(), () -> single + " of " + pieces.size());
    }

    @Test
    void trainingIsDeterministicWhateverTheOrderOfTheTexts() {
        List<String> shuffled = new ArrayList<>(corpus.tokenizerTexts());
        Collections.shuffle(shuffled, new Random(3));
        BpeTokenizer again = new BpeTrainer(SIZE).train(shuffled);
        assertEquals(trained.tokens(), again.tokens());
        assertEquals(trained.merges(), again.merges());
    }

    @Test
    void countsThenIdsDecideTheOrderOfMerges() {
        BpeTokenizer small = new BpeTrainer(262).train(List.of("zq zq zq", "ab cd", "ab cd"));
        // "zq" occurs three times; " c", " zq", "ab" and "cd" twice, and of their bytes the space has the lowest id.
        assertEquals(List.of("zq", "\u0120c", "\u0120zq"), small.tokens().subList(259, 262));
    }

    @Test
    void trainingStopsWhenNothingRepeats() {
        assertEquals(259, new BpeTrainer(400).train(List.of("abcdef")).size());
        assertEquals(259, new BpeTrainer(400).train(List.of()).size());
        assertEquals(List.of(), new BpeTrainer(400).train(List.of()).split(""));
    }

    @Test
    void tooSmallAVocabularyAndSpecialTokensInTextsAreRefused() {
        String message = assertThrows(IllegalArgumentException.class, () -> new BpeTrainer(258))
                .getMessage();
        assertTrue(message.contains("258") && message.contains("259"), message);
        BpeTrainer trainer = new BpeTrainer(300);
        List<String> texts = List.of("a<|im_end|>");
        assertThrows(IllegalArgumentException.class, () -> trainer.train(texts));
    }

    @Test
    void theFilesNameTheSpecialTokensAndTheTemplate(@TempDir Path folder) throws IOException {
        trained.write(folder);
        JsonNode config = new ObjectMapper().readTree(Files.readString(folder.resolve("tokenizer_config.json")));
        JsonNode map = new ObjectMapper().readTree(Files.readString(folder.resolve("special_tokens_map.json")));
        for (JsonNode file : List.of(config, map)) {
            assertEquals("<|im_end|>", file.get("eos_token").asText());
            assertEquals("<|endoftext|>", file.get("pad_token").asText());
        }
        assertTrue(config.get("chat_template").asText().contains("add_generation_prompt"));
        JsonNode model = new ObjectMapper()
                .readTree(Files.readString(folder.resolve("tokenizer.json")))
                .get("model");
        assertEquals(trained.size(), model.get("vocab").size());
        assertEquals(0, model.get("vocab").get("<|endoftext|>").asInt());
        assertEquals(trained.merges().size(), model.get("merges").size());
    }
}
