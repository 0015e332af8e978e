package dev.finetune4j.data;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** A change of the conversations of examples, whatever their kind; texts that are no conversations stay. Immutable. */
final class ConversationChange {
    /** The thoughts before an answer, as models write them between marks. */
    private static final Pattern THOUGHTS = Pattern.compile("\\A\\s*<think>.*?</think>\\s*", Pattern.DOTALL);

    /** The fields in which chat templates look for thoughts. */
    private static final Set<String> FIELDS = Set.of("reasoning_content", "reasoning", "thinking");

    private final UnaryOperator<Conversation> change;

    private ConversationChange(UnaryOperator<Conversation> change) {
        this.change = change;
    }

    /** Adds a system message where there is none. */
    static ConversationChange system(String text) {
        return new ConversationChange(conversation -> {
            if (conversation.system().isPresent()) {
                return conversation;
            }
            List<ChatMessage> messages = new ArrayList<>(conversation.messages());
            messages.add(0, ChatMessage.system(text));
            return conversation.withMessages(messages);
        });
    }

    /**
     * Sets a variable of the chat template, whatever it was before.
     *
     * @throws IllegalArgumentException if a template gets it from the conversation itself
     */
    static ConversationChange variable(String name, @Nullable Object value) {
        Conversation.of(ChatMessage.user("")).withTemplateVariable(name, value);
        return new ConversationChange(conversation -> conversation.withTemplateVariable(name, value));
    }

    /** Takes the thoughts out of the answers. */
    static ConversationChange withoutThoughts() {
        return new ConversationChange(conversation -> conversation.withMessages(conversation.messages().stream()
                .map(message -> message.role() == Role.ASSISTANT ? withoutThoughts(message) : message)
                .toList()));
    }

    private static ChatMessage withoutThoughts(ChatMessage answer) {
        Map<String, @Nullable Object> fields = new LinkedHashMap<>(answer.fields());
        fields.keySet().removeAll(FIELDS);
        return new ChatMessage(answer.role(), THOUGHTS.matcher(answer.content()).replaceFirst(""), fields);
    }

    /**
     * The changed example; the same object if nothing changed.
     *
     * @throws DatasetException if it teaches nothing any more, such as an answer that had thoughts alone
     */
    Example of(Example example) {
        return ofAll(List.of(example)).get(0);
    }

    /**
     * The changed examples.
     *
     * @throws DatasetException naming all that teach nothing any more
     */
    List<Example> ofAll(List<Example> examples) {
        DatasetProblems problems = new DatasetProblems();
        List<Example> changed = new ArrayList<>(examples.size());
        for (Example example : examples) {
            try {
                changed.add(changed(example));
            } catch (IllegalArgumentException e) {
                problems.add(
                        DatasetProblem.ofRow(
                                example.where(), null, "once thoughts are taken out of the answers, " + e.getMessage()),
                        e);
            }
        }
        problems.throwIfAny();
        return List.copyOf(changed);
    }

    private Example changed(Example example) {
        if (example instanceof SftExample sft) {
            return changed(sft);
        }
        if (example instanceof KtoExample judged) {
            return changed(judged);
        }
        return example instanceof PreferenceExample pair ? changed(pair) : example;
    }

    private KtoExample changed(KtoExample judged) {
        Conversation before = judged.conversation();
        Conversation after = change.apply(before);
        return after.equals(before)
                ? judged
                : new KtoExample(after, judged.desirable(), where(judged.where(), before, after));
    }

    private SftExample changed(SftExample example) {
        Conversation changed = change.apply(example.conversation());
        if (changed.equals(example.conversation())) {
            return example;
        }
        List<Double> weights = new ArrayList<>(example.lossWeights());
        if (!weights.isEmpty()
                && changed.messages().size() > example.conversation().messages().size()) {
            weights.add(0, 0.0);
        }
        return new SftExample(changed, weights, where(example.where(), example.conversation(), changed));
    }

    private PreferenceExample changed(PreferenceExample pair) {
        Conversation chosen = change.apply(pair.prompt().with(pair.chosen()));
        Conversation rejected = change.apply(pair.prompt().with(pair.rejected()));
        int answer = chosen.messages().size() - 1;
        Conversation prompt = chosen.withMessages(chosen.messages().subList(0, answer));
        PreferenceExample changed = new PreferenceExample(
                prompt,
                chosen.messages().get(answer),
                rejected.messages().get(answer),
                where(pair.where(), pair.prompt(), prompt));
        return changed.equals(pair) ? pair : changed;
    }

    /** A system message that was put first came from no field of the row, but each text after it needs its own. */
    private static Provenance where(Provenance where, Conversation before, Conversation after) {
        if (where.fields().isEmpty()
                || before.messages().size() == after.messages().size()) {
            return where;
        }
        List<String> fields = new ArrayList<>(where.fields());
        fields.add(0, "system");
        return new Provenance(where.source(), where.row(), fields);
    }
}
