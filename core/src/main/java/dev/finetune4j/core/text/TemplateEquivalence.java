package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.python.Allowance;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Whether templates are equivalent: compares named ones with a checkpoint's own by what they write for conversations in
 * which templates differ: with and without a system text, of one and more turns, with white space at the edges, empty, with
 * quotes, braces and thoughts.
 */
final class TemplateEquivalence {
    private static final List<String> TEXTS = List.of(
            "plain",
            " \n with white space \t\n",
            "",
            "{{ braces }} {% if x %} 'quotes\" \\n \u4f60\u597d \uD83D\uDE00",
            "<think>\nthoughts\n</think>\n\nsaid",
            "\u00a0 wide space \u3000");

    private TemplateEquivalence() {}

    /**
     * The named template that writes every one of the conversations as the checkpoint's own does, the trained parts
     * included, save those that the own refuses, as long as there are some.
     */
    static Optional<NamedTemplate> named(ChatTemplate own, Collection<NamedTemplate> named, Tokenizer tokenizer) {
        List<NamedTemplate> equal = new ArrayList<>(named);
        boolean compared = false;
        Allowance allowance = new Allowance();
        for (Conversation conversation : conversations()) {
            List<ChatMessage> messages = conversation.messages();
            boolean prompt = messages.get(messages.size() - 1).role() != Role.ASSISTANT;
            String expected = written(own, conversation, prompt, tokenizer, allowance);
            if (allowance.isExhausted()) {
                return Optional.empty();
            }
            if (expected == null && written(own, conversation, true, tokenizer, allowance) == null) {
                continue;
            }
            equal.removeIf(template ->
                    !Objects.equals(expected, written(template, conversation, prompt, tokenizer, allowance)));
            if (equal.isEmpty()) {
                return Optional.empty();
            }
            compared = true;
        }
        return compared ? Optional.of(equal.get(0)) : Optional.empty();
    }

    private static List<Conversation> conversations() {
        List<Conversation> conversations = new ArrayList<>();
        for (String text : TEXTS) {
            for (ChatMessage system : new ChatMessage[] {null, ChatMessage.system("S"), ChatMessage.system(text)}) {
                List<ChatMessage> messages = new ArrayList<>();
                if (system != null) {
                    messages.add(system);
                }
                for (ChatMessage message : List.of(
                        ChatMessage.user(text),
                        ChatMessage.assistant("a" + text),
                        ChatMessage.user("U"),
                        ChatMessage.assistant(text),
                        ChatMessage.user("V"))) {
                    messages.add(message);
                    conversations.add(new Conversation(messages));
                }
            }
        }
        return conversations;
    }

    /** The text with the trained parts in marks; null if the template refuses. */
    private static @Nullable String written(
            ChatTemplate template,
            Conversation conversation,
            boolean prompt,
            Tokenizer tokenizer,
            Allowance allowance) {
        try {
            StringBuilder text = new StringBuilder();
            boolean trained = false;
            for (Segment segment : template.render(conversation, prompt, allowance)) {
                if (segment.trained() != trained) {
                    text.append('\uE000');
                    trained = segment.trained();
                }
                text.append(segment.content() ? segment.text() : ChatEncoder.fillSlots(segment.text(), tokenizer));
            }
            return text.toString();
        } catch (IllegalArgumentException e) {
            return null;
        }
    }
}
