package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.SftExample;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Reads one row of the Alpaca format and reports all that is wrong with it. */
final class AlpacaRow {
    private static final List<String> PROMPT_AND_ANSWER = List.of("instruction", "output");

    private final JsonNode row;
    private final Provenance where;
    private final Consumer<DatasetProblem> problems;
    private int reported;

    AlpacaRow(JsonNode row, Provenance where, Consumer<DatasetProblem> problems) {
        this.row = row;
        this.where = where;
        this.problems = problems;
    }

    /** The example, or null if there are problems. */
    @Nullable
    SftExample example() {
        if (!row.isObject()) {
            report(null, "is " + describe(row) + ", expected an object with \"instruction\" and \"output\"");
            return null;
        }
        if (row.hasNonNull("kto_tag") || !(row.has("instruction") || row.has("output"))) {
            report(null, UnknownFormat.explain(row));
            return null;
        }
        List<ChatMessage> messages = new ArrayList<>();
        List<String> fields = new ArrayList<>();
        String system = text("system", false);
        if (!system.isBlank()) {
            messages.add(ChatMessage.system(system));
            fields.add("system");
        }
        history(messages, fields);
        prompt(messages, fields);
        messages.add(ChatMessage.assistant(answer()));
        fields.add("output");
        if (reported > 0) {
            return null;
        }
        List<String> shared = fields.equals(PROMPT_AND_ANSWER) ? PROMPT_AND_ANSWER : fields;
        return new SftExample(new Conversation(messages), new Provenance(where.source(), where.row(), shared));
    }

    private void prompt(List<ChatMessage> messages, List<String> fields) {
        int before = reported;
        String instruction = text("instruction", true);
        String input = text("input", false);
        if (reported > before) {
            return;
        }
        if (instruction.isBlank() && input.isBlank()) {
            report("instruction", "is blank, and so is \"input\"; the question must have a text");
        } else if (input.isBlank()) {
            messages.add(ChatMessage.user(instruction));
            fields.add("instruction");
        } else if (instruction.isEmpty()) {
            messages.add(ChatMessage.user(input));
            fields.add("input");
        } else {
            messages.add(ChatMessage.user(instruction + "\n" + input));
            fields.add("instruction/input");
        }
    }

    private String answer() {
        int before = reported;
        String output = text("output", true);
        if (reported == before && output.isBlank()) {
            report("output", "is blank, so there is nothing to learn; give it an answer or delete the row");
        }
        return output;
    }

    private void history(List<ChatMessage> messages, List<String> fields) {
        JsonNode history = row.path("history");
        if (history.isMissingNode() || history.isNull()) {
            return;
        }
        if (!history.isArray()) {
            report("history", "is " + describe(history) + ", expected a list of [question, answer] pairs");
            return;
        }
        for (int i = 0; i < history.size(); i++) {
            JsonNode pair = history.get(i);
            String name = "history[" + i + "]";
            if (!pair.isArray() || pair.size() != 2) {
                report(name, "is " + describe(pair) + ", expected a pair [question, answer]");
                continue;
            }
            for (int j = 0; j < 2; j++) {
                String part = name + "[" + j + "]";
                String content = text(part, pair.get(j));
                if (pair.get(j).isTextual() && content.isBlank()) {
                    report(part, "is blank, expected a text; fill it in or delete the pair");
                }
                messages.add(j == 0 ? ChatMessage.user(content) : ChatMessage.assistant(content));
                fields.add(part);
            }
        }
    }

    private String text(String field, boolean required) {
        JsonNode value = row.path(field);
        if (value.isMissingNode() || value.isNull()) {
            if (required) {
                report(
                        field,
                        (value.isNull() ? "is null" : "is missing")
                                + "; an alpaca row needs \"instruction\" and \"output\", found the columns "
                                + UnknownFormat.columns(row)
                                + looksLike());
            }
            return "";
        }
        return text(field, value);
    }

    private String looksLike() {
        return row.has("chosen") || row.has("rejected") ? "; preference pairs cannot be read as alpaca" : "";
    }

    private String text(String field, JsonNode value) {
        if (!value.isTextual()) {
            report(field, "is " + describe(value) + ", expected a string; put it in double quotes");
            return "";
        }
        String text = value.textValue();
        int half = loneSurrogate(text);
        if (half >= 0) {
            report(
                    field,
                    "has half a surrogate pair, " + String.format(Locale.ROOT, "\\u%04x", (int) text.charAt(half))
                            + ", at character " + half + ", which is no text; write both halves or delete it");
        }
        return text;
    }

    /** Index of the first half of a surrogate pair that stands alone, or -1. */
    private static int loneSurrogate(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                if (i + 1 == text.length() || !Character.isSurrogatePair(text.charAt(i), text.charAt(i + 1))) {
                    return i;
                }
                i++;
            }
        }
        return -1;
    }

    private void report(@Nullable String field, String text) {
        String sentence = field == null ? text : "field \"" + field + "\" " + text;
        reported++;
        problems.accept(DatasetProblem.ofRow(where, field, sentence));
    }

    private static String describe(JsonNode value) {
        return switch (value.getNodeType()) {
            case ARRAY -> "an array of " + value.size();
            case OBJECT -> "an object";
            case STRING -> "a string";
            case NUMBER -> "a number (" + value.asText() + ")";
            case BOOLEAN -> "a truth value (" + value.asText() + ")";
            case NULL -> "null";
            case MISSING, BINARY, POJO -> "no JSON value";
        };
    }
}
