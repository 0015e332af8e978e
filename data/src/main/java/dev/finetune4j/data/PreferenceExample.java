package dev.finetune4j.data;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.ArrayList;
import java.util.List;

/**
 * A preference pair: a prompt and two answers to it, of which one is better.
 *
 * @param prompt the conversation that both answer
 * @param chosen the better answer
 * @param rejected the worse answer
 * @param where the place that errors name
 */
public record PreferenceExample(Conversation prompt, ChatMessage chosen, ChatMessage rejected, Provenance where)
        implements Example {
    /** @throws IllegalArgumentException if one of them cannot answer the prompt, is blank, or both are the same */
    public PreferenceExample {
        Arguments.given(prompt, "PreferenceExample(prompt)");
        Arguments.given(chosen, "PreferenceExample(chosen)");
        Arguments.given(rejected, "PreferenceExample(rejected)");
        Arguments.given(where, "PreferenceExample(where)");
        SftExample.requireAnswer(prompt.with(chosen));
        SftExample.requireAnswer(prompt.with(rejected));
        if (chosen.equals(rejected)) {
            throw new IllegalArgumentException("the chosen and the rejected answer are the same, so there is nothing to"
                    + " prefer; give two answers or drop the example");
        }
    }

    /** A question with a better and a worse answer. */
    public static PreferenceExample of(String question, String chosen, String rejected) {
        return new PreferenceExample(
                Conversation.of(ChatMessage.user(question)),
                ChatMessage.assistant(chosen),
                ChatMessage.assistant(rejected),
                Provenance.inMemory(0));
    }

    @Override
    public PreferenceExample at(Provenance place) {
        return new PreferenceExample(prompt, chosen, rejected, place);
    }

    @Override
    public List<String> texts() {
        List<String> texts = new ArrayList<>(SftExample.contents(prompt));
        texts.add(chosen.content());
        texts.add(rejected.content());
        return texts;
    }

    @Override
    public PreferenceExample withTexts(List<String> texts) {
        int messages = prompt.messages().size();
        return new PreferenceExample(
                SftExample.withContents(prompt, texts.subList(0, messages)),
                SftExample.withContent(chosen, texts.get(messages)),
                SftExample.withContent(rejected, texts.get(messages + 1)),
                where);
    }

    @Override
    public String kind() {
        return "a preference pair";
    }
}
