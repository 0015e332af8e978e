package dev.finetune4j.data.format;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The messages of a row in the order in which they stand, checked for an order that a chat template can lay out. */
final class Turns {
    private static final List<String> PROMPT_AND_ANSWER = List.of("instruction", "output");

    private final RowReader reader;
    private final List<Turn> turns = new ArrayList<>();

    Turns(RowReader reader) {
        this.reader = reader;
    }

    /**
     * A message.
     *
     * @param field of the row that it was read from
     * @param speaker what the row calls who speaks
     * @param lossWeight what its tokens count in the loss, if the row says so
     */
    record Turn(
            ChatMessage message,
            String field,
            String speaker,
            @Nullable Double lossWeight) {
        static Turn of(ChatMessage message, String field) {
            return new Turn(message, field, message.role().name().toLowerCase(Locale.ROOT), null);
        }
    }

    /** System messages that follow each other become one, with an empty line between them. */
    void add(Turn turn) {
        Turn last = turns.isEmpty() ? null : turns.get(turns.size() - 1);
        if (last != null && last.message.role() == Role.SYSTEM && turn.message.role() == Role.SYSTEM) {
            ChatMessage both = ChatMessage.system(last.message.content() + "\n\n" + turn.message.content());
            turns.set(turns.size() - 1, new Turn(both, last.field + "/" + turn.field, last.speaker, last.lossWeight));
        } else if (mayFollow(last, turn)) {
            turns.add(turn);
        }
    }

    private boolean mayFollow(@Nullable Turn last, Turn turn) {
        Role before = last == null ? null : last.message.role();
        boolean fits = switch (turn.message.role()) {
            case SYSTEM -> before == null;
            case USER -> before == null || before == Role.SYSTEM || before == Role.ASSISTANT;
            case ASSISTANT -> before == Role.USER || before == Role.TOOL;
            case TOOL -> before == Role.ASSISTANT || before == Role.TOOL;
        };
        if (!fits && reader.isSound()) {
            reader.report(
                    turn.field,
                    "is a message of \"" + turn.speaker + "\" "
                            + (last == null ? "that stands first" : "after one of \"" + last.speaker + "\"") + ", but "
                            + rule(turn.message.role()) + "; merge or reorder the messages");
        }
        return fits;
    }

    private static String rule(Role role) {
        return switch (role) {
            case SYSTEM -> "system messages must stand first";
            case USER -> "a question stands first, after the system message or after an answer";
            case ASSISTANT -> "an answer follows a question or the result of a function";
            case TOOL -> "the result of a function follows its call or another result";
        };
    }

    /** The fields that the messages were read from. */
    List<String> fields() {
        List<String> fields = turns.stream().map(Turn::field).toList();
        return fields.equals(PROMPT_AND_ANSWER) ? PROMPT_AND_ANSWER : fields;
    }

    /** What each message counts in the loss, if a message says so; otherwise none. */
    List<Double> lossWeights() {
        if (turns.stream().allMatch(turn -> turn.lossWeight == null)) {
            return List.of();
        }
        return turns.stream()
                .map(turn ->
                        turn.lossWeight != null ? turn.lossWeight : turn.message.role() == Role.ASSISTANT ? 1.0 : 0.0)
                .toList();
    }

    /** Who spoke last, or null if there is no message. */
    @Nullable
    Turn last() {
        return turns.isEmpty() ? null : turns.get(turns.size() - 1);
    }

    int size() {
        return turns.size();
    }

    /** The conversation, or null if there is no message or one was left out because of its place. */
    @Nullable
    Conversation conversation(List<Map<String, @Nullable Object>> tools) {
        if (turns.isEmpty() || !reader.isSound()) {
            return null;
        }
        return new Conversation(turns.stream().map(Turn::message).toList(), tools);
    }
}
