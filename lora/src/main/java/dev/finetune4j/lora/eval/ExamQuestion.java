package dev.finetune4j.lora.eval;

import dev.finetune4j.core.Arguments;
import java.util.function.Predicate;

/**
 * A question and the rule that tells a right answer.
 *
 * @param question what the model is asked, in a conversation of its own
 * @param right true for an answer that counts
 */
public record ExamQuestion(String question, Predicate<String> right) {
    public ExamQuestion {
        Arguments.given(question, "ExamQuestion(question)");
        Arguments.given(right, "ExamQuestion(right)");
    }
}
