package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.text.jinja.JinjaTemplate.Span;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class MarkedAnswerTest {
    private static final String MARK = "\uF8FF";
    private static final List<String> ENDS = List.of("</s>");

    private static String answer(MarkedAnswer marked, String whole, String prompt) {
        Span span = marked.withEnd(whole, prompt, ENDS).orElseThrow();
        return whole.substring(span.start(), span.end());
    }

    @Test
    void anAnswerIsFoundBetweenWhatStandsAroundTheMark() {
        String whole = "Q: 1+1?\nA:\n two </s>\nQ: 2+2?\nA:\nfour</s>";
        MarkedAnswer first = MarkedAnswer.of(whole.replace("two", MARK), MARK, "two", List.of());
        assertTrue(first.isFoundIn(whole));
        assertEquals(" two </s>", answer(first, whole, "Q: 1+1?\nA:\n"));
    }

    @Test
    void whiteSpaceThatThePromptLacksBelongsToTheAnswer() {
        String whole = "USER: hi\n\nASSISTANT: hello</s>";
        MarkedAnswer marked = MarkedAnswer.of(whole.replace("hello", MARK), MARK, "hello", List.of());
        assertEquals(" hello</s>", answer(marked, whole, "USER: hi\nASSISTANT:"));
        assertEquals("hello</s>", answer(marked, whole, "USER: hi\nASSISTANT: "));
        assertEquals("hello</s>", answer(marked, whole, "announced in another way"));
    }

    @Test
    void whatIsNotTheMessageIsNotTakenForIt() {
        String whole = "A: hello</s>";
        assertFalse(
                MarkedAnswer.of("A: " + MARK + "</s>", MARK, "hullo", List.of()).isFoundIn(whole));
        assertFalse(
                MarkedAnswer.of("B: " + MARK + "</s>", MARK, "hello", List.of()).isFoundIn(whole));
        assertFalse(MarkedAnswer.of("A: " + MARK + MARK + "</s>", MARK, "hello", List.of())
                .isFoundIn(whole));
        assertFalse(MarkedAnswer.of("A: </s>", MARK, "hello", List.of()).isFoundIn(whole));
    }

    @Test
    void anAnswerWithoutItsThoughtsIsShortened() {
        String whole = "A: four</s>";
        MarkedAnswer marked = MarkedAnswer.of("A: " + MARK + "</s>", MARK, "<think>2+2</think>\n\nfour", List.of());
        assertFalse(marked.isFoundIn(whole));
        assertTrue(marked.isShortenedIn(whole));
        assertFalse(marked.isShortenedIn("A: five</s>"));
    }

    @Test
    void anAnswerThatNoTokenEndsHasNoSpan() {
        String whole = "A: hello\nQ: more?";
        MarkedAnswer marked = MarkedAnswer.of(whole.replace("hello", MARK), MARK, "hello", List.of());
        assertEquals(Optional.empty(), marked.withEnd(whole, "A:", ENDS));
    }
}
