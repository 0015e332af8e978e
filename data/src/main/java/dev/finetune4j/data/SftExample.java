package dev.finetune4j.data;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A conversation to learn from: training teaches the model to write its assistant messages.
 *
 * @param conversation ends with an assistant message that is not blank, or that calls a function
 * @param lossWeights for each message what its tokens count in the loss: 0 for not at all, 1 for fully, 0.5 for half as much as those; the loss is
 *     divided by the sum of the weights, so what counts is how they relate to each other. None for the usual,
 *     which is 1 for each answer. A training takes 0 and 1 alone, and 1 for answers alone, and refuses other examples
 * @param where the place that errors name
 */
public record SftExample(Conversation conversation, List<Double> lossWeights, Provenance where) implements Example {
    /**
     * @throws IllegalArgumentException if the conversation does not end with an answer, or with a blank one, or a weight has
     *     no message or is negative
     */
    public SftExample {
        Arguments.given(where, "SftExample(where)");
        requireAnswer(Arguments.given(conversation, "SftExample(conversation)"));
        lossWeights = List.copyOf(Arguments.given(lossWeights, "SftExample(lossWeights)"));
        requireWeights(conversation.messages(), lossWeights);
    }

    /**
     * An example whose answers all count the same.
     *
     * @throws IllegalArgumentException if the conversation does not end with an answer, or with a blank one
     */
    public SftExample(Conversation conversation, Provenance where) {
        this(conversation, List.of(), where);
    }

    private static void requireWeights(List<ChatMessage> messages, List<Double> weights) {
        if (!weights.isEmpty() && weights.size() != messages.size()) {
            throw new IllegalArgumentException("there are " + weights.size() + " loss weights for " + messages.size()
                    + " messages; give one for each, or none");
        }
        for (int i = 0; i < weights.size(); i++) {
            if (!(weights.get(i) >= 0) || weights.get(i).isInfinite()) {
                throw new IllegalArgumentException(
                        "message " + i + " has the loss weight " + weights.get(i) + ", expected 0 or more");
            }
        }
    }

    /** @throws IllegalArgumentException if the conversation does not end with an answer, or with a blank one */
    static void requireAnswer(Conversation conversation) {
        List<ChatMessage> messages = conversation.messages();
        ChatMessage last = messages.get(messages.size() - 1);
        if (last.role() != Role.ASSISTANT) {
            throw new IllegalArgumentException("message " + (messages.size() - 1) + " is the last and of the role "
                    + last.role()
                    + ", but an example must end with an assistant message, which is what training teaches;"
                    + " add the answer or drop the message");
        }
        if (last.content().isBlank() && !last.fields().containsKey("tool_calls")) {
            throw new IllegalArgumentException("message " + (messages.size() - 1)
                    + " is the answer to learn, but it is blank; give it a text or drop the example");
        }
    }

    /**
     * An example made in the program.
     *
     * @throws IllegalArgumentException if the conversation does not end with an answer, or with a blank one
     */
    public static SftExample of(Conversation conversation) {
        return new SftExample(conversation, Provenance.inMemory(0));
    }

    /**
     * A question and its answer.
     *
     * @throws IllegalArgumentException if the answer is blank
     */
    public static SftExample of(String instruction, String answer) {
        return of(Conversation.of(ChatMessage.user(instruction), ChatMessage.assistant(answer)));
    }

    @Override
    public SftExample at(Provenance place) {
        return new SftExample(conversation, lossWeights, place);
    }

    @Override
    public List<String> texts() {
        return contents(conversation);
    }

    @Override
    public SftExample withTexts(List<String> texts) {
        return new SftExample(withContents(conversation, texts), lossWeights, where);
    }

    @Override
    public String kind() {
        return "a conversation";
    }

    @Override
    public String describe(int text) {
        String role = conversation.messages().get(text).role().name().toLowerCase(Locale.ROOT);
        return text < where.fields().size() ? Example.super.describe(text) : "message " + text + " (" + role + ")";
    }

    static List<String> contents(Conversation conversation) {
        return conversation.messages().stream().map(ChatMessage::content).toList();
    }

    static Conversation withContents(Conversation conversation, List<String> contents) {
        List<ChatMessage> messages = new ArrayList<>();
        for (int i = 0; i < contents.size(); i++) {
            messages.add(withContent(conversation.messages().get(i), contents.get(i)));
        }
        return conversation.withMessages(messages);
    }

    static ChatMessage withContent(ChatMessage message, String content) {
        return new ChatMessage(message.role(), content, message.fields());
    }
}
