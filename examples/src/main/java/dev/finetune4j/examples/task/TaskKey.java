package dev.finetune4j.examples.task;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A key of task files, and what becomes of it.
 *
 * @param name as it is written
 * @param type what its value is
 * @param choices the values that it may have; empty when any of the type
 * @param usual its default, as it would be written; null for none
 * @param rule what becomes of it
 * @param exceptions other rules for some of the values
 */
record TaskKey(
        String name,
        Type type,
        List<String> choices,
        @Nullable String usual,
        Rule rule,
        Map<String, Rule> exceptions) {
    /** What a value is. */
    enum Type {
        TEXT,
        INT,
        FLOAT,
        BOOL,
        LIST,
        ANY
    }

    /** The three things that may become of a key. */
    enum Treatment {
        /** The command does what it says. */
        HONOURED,
        /** The command does without, and says so. */
        IGNORED,
        /** The command does not begin, and says why. */
        REFUSED
    }

    /**
     * What becomes of a key.
     *
     * @param commands those that honour or refuse it; for the others it is of no meaning
     * @param text what is honoured, or why it is not, and what helps
     */
    record Rule(Treatment treatment, Set<TaskCommand> commands, String text) {
        Rule {
            commands = Set.copyOf(commands);
        }
    }

    TaskKey {
        choices = List.copyOf(choices);
        exceptions = Map.copyOf(exceptions);
    }

    /** The rule for a value. */
    Rule ruleFor(@Nullable Object content) {
        Rule exception = content instanceof String text ? exceptions.get(text) : null;
        return exception == null ? rule : exception;
    }

    /** Whether the value says nothing else than leaving the key out does. */
    boolean isUsual(@Nullable Object content) {
        if (content == null || content.equals("") || content.equals(List.of())) {
            return true;
        }
        Object given = Scalars.of(type, content);
        return usual == null ? Boolean.FALSE.equals(given) : given != null && given.equals(Scalars.of(type, usual));
    }

    /**
     * Why a value cannot be one of this key.
     *
     * @return null when it can be
     */
    @Nullable
    String mistake(@Nullable Object content) {
        if (content == null || type == Type.ANY) {
            return null;
        }
        if (type == Type.LIST) {
            return Scalars.of(type, content) == null ? "is " + content + "; expected names with commas between" : null;
        }
        if (!(content instanceof String text)) {
            return "is " + (content instanceof List ? "a list" : "a map") + "; expected " + expected();
        }
        if (Scalars.of(type, text) == null) {
            return "is " + (text.isEmpty() ? "empty" : text) + "; expected " + expected();
        }
        if (!choices.isEmpty() && !choices.contains(text)) {
            return "is " + text + Nearest.hint(text, choices) + "; expected " + expected();
        }
        return null;
    }

    private String expected() {
        if (!choices.isEmpty()) {
            List<String> possible = new ArrayList<>(choices);
            possible.removeIf(choice -> ruleFor(choice).treatment() == Treatment.REFUSED);
            return (possible.size() > 1 ? "one of " : "") + String.join(", ", possible);
        }
        return switch (type) {
            case INT -> "a whole number";
            case FLOAT -> "a number";
            case BOOL -> "true or false";
            default -> "a text";
        };
    }
}
