package dev.finetune4j.examples.basemodel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BaseCorpusTest {
    private final BaseCorpus corpus = BaseCorpus.generate(7);

    @Test
    void theSeedDecidesEverything() {
        assertEquals(corpus.conversations(), BaseCorpus.generate(7).conversations());
        assertNotEquals(corpus.conversations(), BaseCorpus.generate(8).conversations());
    }

    @Test
    void thereAreEnoughDistinctConversationsAndTheSectionsAddUp() {
        int size = corpus.conversations().size();
        assertTrue(size >= 2500 && size <= 4200, () -> "found " + size);
        assertEquals(size, new HashSet<>(corpus.conversations()).size());
        assertEquals(
                size,
                corpus.sections().values().stream().mapToInt(Integer::intValue).sum());
        assertEquals(720, corpus.sections().get("facts"));
    }

    @Test
    void turnsAlternateAndASystemMessageComesFirstInATenth() {
        int withSystem = 0;
        int longer = 0;
        for (List<ChatTurn> conversation : corpus.conversations()) {
            int start = conversation.get(0).role().equals("system") ? 1 : 0;
            withSystem += start;
            assertTrue(conversation.size() > start && (conversation.size() - start) % 2 == 0, conversation::toString);
            for (int i = start; i < conversation.size(); i++) {
                assertEquals(
                        (i - start) % 2 == 0 ? "user" : "assistant",
                        conversation.get(i).role());
            }
            longer += conversation.size() - start > 2 ? 1 : 0;
        }
        double share = (double) withSystem / corpus.conversations().size();
        assertTrue(share > 0.07 && share < 0.13, "share of system messages is " + share);
        assertTrue(longer >= 500, "conversations of two turns: " + longer);
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1, 7, 42, 2026})
    void noUserTurnAsksAHeldOutQuestion(long seed) {
        Set<String> heldOut = IdentityExam.paraphrases().stream()
                .map(paraphrase -> Phrasings.normalForm(paraphrase.question()))
                .collect(Collectors.toSet());
        for (List<ChatTurn> conversation : BaseCorpus.generate(seed).conversations()) {
            for (ChatTurn turn : conversation) {
                String asked = Phrasings.normalForm(turn.text());
                assertFalse(heldOut.contains(asked), turn::text);
                assertFalse(heldOut.contains(asked.replaceFirst("^(你好|请问|hi|hello)", "")), turn::text);
            }
        }
    }

    @Test
    void everyFactPhrasingAndEveryBaseIdentityQuestionIsAskedAndAnswered() {
        Set<String> pairs = new HashSet<>();
        for (List<ChatTurn> conversation : corpus.conversations()) {
            for (int i = 1; i < conversation.size(); i++) {
                pairs.add(conversation.get(i - 1).text() + "\n"
                        + conversation.get(i).text());
            }
        }
        for (Fact fact : FactBook.load().facts()) {
            for (Language language : Language.values()) {
                Fact.Wording wording = fact.in(language);
                wording.questions().forEach(q -> assertTrue(pairs.contains(q + "\n" + wording.answer()), q));
            }
        }
        for (IdentityQuestion question : IdentityBook.load().baseQuestions()) {
            String answer = Identity.ofBase(question.language()).fill(question.answer());
            assertTrue(pairs.contains(question.question() + "\n" + answer), question::question);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1, 7, 42, 2026})
    void theNewIdentityOfTheQuickStartIsNotInTheBase(long seed) {
        for (String text : BaseCorpus.generate(seed).tokenizerTexts()) {
            assertFalse(text.contains("张三") || text.contains("某某公司") || text.contains("{{"), text);
        }
    }

    @Test
    void oneQuestionHasOneAnswer() {
        Map<String, String> answers = new HashMap<>();
        for (List<ChatTurn> conversation : corpus.conversations()) {
            for (int i = 1; i < conversation.size(); i++) {
                if (conversation.get(i).role().equals("assistant")) {
                    String question = conversation.get(i - 1).text();
                    String answer = conversation.get(i).text();
                    assertEquals(answer, answers.getOrDefault(question, answer), question);
                    answers.put(question, answer);
                }
            }
        }
    }
}
