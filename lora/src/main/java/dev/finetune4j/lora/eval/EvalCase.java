package dev.finetune4j.lora.eval;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.List;
import java.util.function.Predicate;

/**
 * A test question and the rule that judges its answer.
 *
 * @param prompt what the model answers
 * @param references what a right answer is, or has; as the metric takes them
 * @param metric judges the answer
 */
public record EvalCase(Conversation prompt, List<String> references, AnswerMetric metric) {
    /** @throws IllegalArgumentException without a reference where the metric compares with them */
    public EvalCase {
        Arguments.given(prompt, "EvalCase(prompt)");
        references = List.copyOf(Arguments.given(references, "EvalCase(references)"));
        Arguments.given(metric, "EvalCase(metric)").requireReferences(references);
    }

    /** A question in a conversation of its own. */
    public static EvalCase of(String question, AnswerMetric metric, String... references) {
        Arguments.given(question, "EvalCase.of(question)");
        return new EvalCase(Conversation.of(ChatMessage.user(question)), List.of(references), metric);
    }

    /** A question in a conversation of its own, with a rule that says whether an answer is right. */
    public static EvalCase of(String question, Predicate<String> correct) {
        return of(question, AnswerMetric.rule(Arguments.given(correct, "EvalCase.of(correct)")));
    }

    /** The last message of the prompt, which stands for it in reports. */
    String question() {
        return prompt.messages().get(prompt.messages().size() - 1).content();
    }
}
