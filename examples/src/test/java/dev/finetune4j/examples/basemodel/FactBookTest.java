package dev.finetune4j.examples.basemodel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class FactBookTest {
    private final List<Fact> facts = FactBook.load().facts();

    @Test
    void sixtyFactsHaveAtLeastFivePhrasingsInBothLanguages() {
        assertEquals(60, facts.size());
        for (Fact fact : facts) {
            for (Language language : Language.values()) {
                List<String> questions = fact.in(language).questions();
                assertTrue(questions.size() >= 5, () -> fact.category() + " has " + questions);
                assertEquals(questions.size(), new HashSet<>(questions).size(), () -> "repeated in " + questions);
                assertEquals(questions.get(0), fact.in(language).examQuestion());
            }
        }
    }

    @Test
    void noQuestionGivesTheKeyAwayAndEveryAnswerSaysIt() {
        for (Fact fact : facts) {
            for (Language language : Language.values()) {
                Fact.Wording wording = fact.in(language);
                String key = wording.key().toLowerCase(Locale.ROOT);
                for (String question : wording.questions()) {
                    assertFalse(
                            question.toLowerCase(Locale.ROOT).contains(key),
                            () -> question + " gives away " + wording.key());
                }
                assertTrue(wording.isSaidBy(wording.answer()), () -> wording.answer() + " lacks " + wording.key());
            }
        }
    }

    @Test
    void noAnswerOfTheSameCategoryCountsForAnotherFact() {
        for (Fact fact : facts) {
            for (Fact other : facts) {
                if (fact.equals(other) || !fact.category().equals(other.category())) {
                    continue;
                }
                for (Language language : Language.values()) {
                    String wrong = other.in(language).answer();
                    assertFalse(
                            fact.in(language).isSaidBy(wrong),
                            () -> wrong + " counts for " + fact.in(language).examQuestion());
                }
            }
        }
    }

    @Test
    void noQuestionIsAskedOfTwoFactsAndNoPlaceholderIsLeft() {
        Map<String, String> answers = new HashMap<>();
        Set<String> texts = new HashSet<>();
        for (Fact fact : facts) {
            for (Language language : Language.values()) {
                Fact.Wording wording = fact.in(language);
                texts.add(wording.answer());
                texts.add(wording.key());
                for (String question : wording.questions()) {
                    texts.add(question);
                    String before = answers.put(Phrasings.normalForm(question), wording.answer());
                    assertTrue(before == null, () -> question + " is asked twice");
                }
            }
        }
        texts.forEach(text -> assertFalse(text.contains("{") || text.contains("}"), text));
    }

    @Test
    void aKeyOfLettersOrDigitsMustStandAlone() {
        Fact.Wording sum = new Fact.Wording(List.of("What is 2 plus 3?"), "2 plus 3 is 5.", "is 5");
        assertTrue(sum.isSaidBy("2 plus 3 is 5"));
        assertFalse(sum.isSaidBy("2 plus 3 is 51."));
        assertFalse(sum.isSaidBy("this 5"));
        assertTrue(sum.isSaidBy("It is 50. No, it is 5."));
        Fact.Wording chinese = new Fact.Wording(List.of("2加3等于几?"), "2加3等于5。", "等于5");
        assertTrue(chinese.isSaidBy("2加3等于5。"));
        assertFalse(chinese.isSaidBy("2加3等于52。"));
        assertFalse(chinese.isSaidBy(""));
    }
}
