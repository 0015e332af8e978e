package dev.finetune4j.examples.basemodel;

import static dev.finetune4j.examples.basemodel.IdentityExam.success;
import static java.util.stream.Collectors.toSet;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class IdentityTest {
    private final IdentityBook book = IdentityBook.load();

    @Test
    void thereAreEnoughQuestionsOfEachPartLanguageAndKind() {
        for (Language language : Language.values()) {
            long all = count(book.baseQuestions(), language) + count(book.heldOutQuestions(), language);
            assertTrue(all >= 120, () -> language + " has only " + all + " questions");
            assertTrue(count(book.trainingQuestions(), language) >= 30);
            assertTrue(count(book.heldOutQuestions(), language) >= 14);
            for (IdentityKind kind : IdentityKind.values()) {
                for (List<IdentityQuestion> part : parts()) {
                    assertTrue(
                            part.stream()
                                            .filter(q -> q.language() == language && q.kind() == kind)
                                            .count()
                                    >= 3,
                            () -> language + " has too few of kind " + kind);
                }
            }
        }
    }

    @Test
    void heldOutQuestionsAreNeitherTrainedOnNorInTheBase() {
        Set<String> heldOut = normalForms(book.heldOutQuestions());
        assertEquals(book.heldOutQuestions().size(), heldOut.size());
        Set<String> known = normalForms(book.baseQuestions());
        known.addAll(normalForms(book.trainingQuestions()));
        known.retainAll(heldOut);
        assertEquals(Set.of(), known);
    }

    @Test
    void everyWordOfAHeldOutQuestionOccursInATrainingRowOrBaseQuestionOfTheSameKind() {
        for (IdentityQuestion question : book.heldOutQuestions()) {
            Set<String> words = new HashSet<>();
            book.baseQuestions().stream()
                    .filter(other -> other.kind() == question.kind() && other.language() == question.language())
                    .forEach(other -> words.addAll(words(other)));
            assertTrue(words.containsAll(words(question)), () -> "new words in " + question.question());
        }
    }

    /** A tiny model answers by overlap; a held-out question closest to one with another answer would be a trap. */
    @Test
    void theNearestBaseQuestionOfAHeldOutOneHasTheSameAnswer() {
        for (IdentityQuestion question : book.heldOutQuestions()) {
            double best = book.baseQuestions().stream()
                    .mapToDouble(other -> overlap(question, other))
                    .max()
                    .orElseThrow();
            assertTrue(
                    book.baseQuestions().stream()
                            .anyMatch(other -> other.answer().equals(question.answer())
                                    && overlap(question, other) >= best - 1e-9),
                    () -> question.question() + " is closer to a question of another kind");
            assertTrue(best >= 0.3, () -> question.question() + " has no relative: " + best);
        }
    }

    @Test
    void answersNameWhatTheirKindAsksForAndShowTheOldIdentityOnlyAfterFilling() {
        Identity wanted = new Identity("张三", "某某公司");
        for (List<IdentityQuestion> part : parts()) {
            for (IdentityQuestion question : part) {
                String tuned = wanted.fill(question.answer());
                String base = Identity.ofBase(question.language()).fill(question.answer());
                assertTrue(success(tuned, question.kind(), "张三", "某某公司"), tuned);
                assertFalse(success(base, question.kind(), "张三", "某某公司"), base);
                assertFalse(tuned.contains("{{"), tuned);
            }
        }
    }

    @Test
    void bundledFilesAreWhatTheRuleGives(@TempDir Path folder) throws IOException {
        IdentityFiles.write(folder);
        for (String file : List.of(IdentityFiles.ROWS, IdentityFiles.PARAPHRASES)) {
            JsonNode written = new ObjectMapper().readTree(folder.resolve(file).toFile());
            assertEquals(written, Resources.json(file), () -> file + " is stale: call IdentityFiles.write");
        }
    }

    @Test
    void trainingRowsAreAlpacaRowsWithPlaceholders() {
        JsonNode rows = Resources.json(IdentityFiles.ROWS);
        assertTrue(rows.size() >= 60);
        for (JsonNode row : rows) {
            assertEquals(3, row.size());
            assertFalse(row.get("instruction").asText().isBlank());
            assertEquals("", row.get("input").asText());
            String output = row.get("output").asText();
            assertTrue(output.contains("{{name}}") || output.contains("{{author}}"), output);
        }
    }

    @Test
    void bundledParaphrasesReadBackAsTheHeldOutQuestions() {
        List<IdentityExam.Paraphrase> expected = book.heldOutQuestions().stream()
                .map(q -> new IdentityExam.Paraphrase(q.question(), q.kind(), q.language()))
                .toList();
        assertTrue(expected.size() >= 28);
        assertEquals(expected, IdentityExam.paraphrases());
    }

    @Test
    void successNeedsWhatTheKindAsksFor() {
        assertTrue(success("我叫张三。", IdentityKind.NAME, "张三", "某某公司"));
        assertFalse(success("我叫张三。", IdentityKind.MAKER, "张三", "某某公司"));
        assertFalse(success("我叫张三。", IdentityKind.BOTH, "张三", "某某公司"));
        assertTrue(success("由某某公司开发。", IdentityKind.MAKER, "张三", "某某公司"));
        assertFalse(success("由某某公司开发。", IdentityKind.NAME, "张三", "某某公司"));
        assertTrue(success("我是张三,由某某公司开发。", IdentityKind.BOTH, "张三", "某某公司"));
        assertFalse(success("", IdentityKind.NAME, "张三", "某某公司"));
    }

    @Test
    void successRefusesTheOldIdentityInAnyCase() {
        assertFalse(success("我是张三,由开放实验室开发。", IdentityKind.NAME, "张三", "某某公司"));
        assertFalse(success("我是通用助手张三。", IdentityKind.NAME, "张三", "某某公司"));
        assertFalse(success("I am Ann, made by open lab.", IdentityKind.NAME, "Ann", "Acme"));
        assertFalse(success("I am Ann, GENERAL ASSISTANT of Acme.", IdentityKind.BOTH, "Ann", "Acme"));
        assertTrue(success("I am Ann, an assistant in the open.", IdentityKind.NAME, "Ann", "Acme"));
    }

    @Test
    void aNewNameMayContainOldWords() {
        assertTrue(success("I am Ann, made by Open Labrador.", IdentityKind.BOTH, "Ann", "Open Labrador"));
        assertFalse(success("Made by Open Labrador and Open Lab.", IdentityKind.MAKER, "Ann", "Open Labrador"));
        assertFalse(success("I am of Open Lab.", IdentityKind.NAME, "Lab", "Acme"));
    }

    @Test
    void blankNamesAndUnknownCodesAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> success("我叫张三。", IdentityKind.NAME, " ", "某某公司"));
        assertThrows(IllegalArgumentException.class, () -> new Identity("张三", ""));
        assertThrows(IllegalArgumentException.class, () -> IdentityKind.ofCode("Name"));
        assertThrows(IllegalArgumentException.class, () -> Language.ofCode("fr"));
        assertThrows(IllegalArgumentException.class, () -> new ChatTurn("tool", "x"));
        assertThrows(IllegalArgumentException.class, () -> new ChatTurn("user", " "));
    }

    @Test
    void patternsExpandEveryChoice() {
        assertEquals(List.of("ac", "ad", "bc", "bd"), Phrasings.expand("(a|b)(c|d)"));
        assertEquals(List.of("x!", "x?!"), Phrasings.expand("x(|?)!"));
        assertThrows(IllegalArgumentException.class, () -> Phrasings.expand("x(a|b"));
        assertEquals("whoareyou2", Phrasings.normalForm(" Who ARE you, 2?"));
        assertEquals("你是谁", Phrasings.normalForm("你 是谁?"));
    }

    private List<List<IdentityQuestion>> parts() {
        return List.of(book.baseQuestions(), book.trainingQuestions(), book.heldOutQuestions());
    }

    private static long count(List<IdentityQuestion> questions, Language language) {
        return questions.stream().filter(q -> q.language() == language).count();
    }

    /** Shared pairs of neighbouring words over all such pairs. */
    private static double overlap(IdentityQuestion one, IdentityQuestion other) {
        Set<String> shared = pairs(one);
        Set<String> all = pairs(other);
        int sizes = shared.size() + all.size();
        shared.retainAll(all);
        return (double) shared.size() / (sizes - shared.size());
    }

    private static Set<String> pairs(IdentityQuestion question) {
        List<String> words = new ArrayList<>(List.of("^"));
        words.addAll(words(question));
        words.add("$");
        Set<String> pairs = new HashSet<>();
        for (int i = 1; i < words.size(); i++) {
            pairs.add(words.get(i - 1) + " " + words.get(i));
        }
        return pairs;
    }

    private static Set<String> normalForms(List<IdentityQuestion> questions) {
        return new HashSet<>(
                questions.stream().map(q -> Phrasings.normalForm(q.question())).collect(toSet()));
    }

    /** English words; for Chinese, single characters. */
    private static List<String> words(IdentityQuestion question) {
        String text = question.question().toLowerCase(Locale.ROOT);
        if (question.language() == Language.ENGLISH) {
            return Arrays.stream(text.split("[^a-z0-9']+"))
                    .filter(word -> !word.isEmpty())
                    .toList();
        }
        List<String> characters = new ArrayList<>();
        Phrasings.normalForm(text).codePoints().forEach(c -> characters.add(Character.toString(c)));
        return characters;
    }
}
