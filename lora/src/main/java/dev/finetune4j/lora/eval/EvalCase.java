package dev.finetune4j.lora.eval;

import dev.finetune4j.core.message.Arguments;
import java.util.function.Predicate;

/**
 * A test question and the rule that tells a correct answer.
 *
 * @param question what the model is asked, in a conversation of its own
 * @param correct true for an answer that counts
 */
public record EvalCase(String question, Predicate<String> correct) {
    public EvalCase {
        Arguments.given(question, "EvalCase(question)");
        Arguments.given(correct, "EvalCase(correct)");
    }
}
