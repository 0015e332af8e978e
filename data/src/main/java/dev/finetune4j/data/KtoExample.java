package dev.finetune4j.data;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.List;

/**
 * An answer that was judged by itself, as KTO learns from.
 *
 * @param conversation ends with the answer, which is not blank
 * @param desirable whether the answer is good
 * @param where the place that errors name
 */
public record KtoExample(Conversation conversation, boolean desirable, Provenance where) implements Example {
    /** @throws IllegalArgumentException if the conversation does not end with an answer, or with a blank one */
    public KtoExample {
        Arguments.given(where, "KtoExample(where)");
        SftExample.requireAnswer(Arguments.given(conversation, "KtoExample(conversation)"));
    }

    /** A question with an answer and what was thought of it. */
    public static KtoExample of(String question, String answer, boolean desirable) {
        return new KtoExample(
                Conversation.of(ChatMessage.user(question), ChatMessage.assistant(answer)),
                desirable,
                Provenance.inMemory(0));
    }

    @Override
    public KtoExample at(Provenance place) {
        return new KtoExample(conversation, desirable, place);
    }

    @Override
    public List<String> texts() {
        return SftExample.contents(conversation);
    }

    @Override
    public KtoExample withTexts(List<String> texts) {
        return new KtoExample(SftExample.withContents(conversation, texts), desirable, where);
    }

    @Override
    public String kind() {
        return "a judged answer";
    }
}
