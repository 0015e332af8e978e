package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.SftExample;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Makes an example of one row, and reports all that is wrong with it. */
abstract class RowReader {
    final Layout layout;
    final JsonNode row;
    private final Provenance where;
    private final Consumer<DatasetProblem> problems;
    private int reported;

    RowReader(Layout layout, JsonNode row, Provenance where, Consumer<DatasetProblem> problems) {
        this.layout = layout;
        this.row = row;
        this.where = where;
        this.problems = problems;
    }

    /** A reader for the style of the layout. */
    static RowReader of(Layout layout, JsonNode row, Provenance where, Consumer<DatasetProblem> problems) {
        return switch (layout.style()) {
            case ALPACA -> new AlpacaRow(layout, row, where, problems);
            case MESSAGES -> new MessagesRow(layout, row, where, problems);
            case PROMPT_COMPLETION -> new PromptRow(layout, row, where, problems);
            case TEXT, AUTO -> new TextRow(layout, row, where, problems);
        };
    }

    /** The example, or null if there are problems. */
    final @Nullable Example example() {
        if (!row.isObject()) {
            report(null, "is " + describe(row) + ", expected an object with " + expected());
            return null;
        }
        try {
            Example example = read();
            return reported > 0 ? null : example;
        } catch (IllegalArgumentException e) {
            // What the examples themselves check.
            report(null, String.valueOf(e.getMessage()));
            return null;
        }
    }

    /** What rows of this style have. */
    abstract String expected();

    /** The example; null, or one that is not looked at, once something is reported. */
    abstract @Nullable Example read();

    /** Whether nothing was reported so far. */
    final boolean isSound() {
        return reported == 0;
    }

    /** Runs a part, and says whether it reported nothing. */
    final boolean soundAfter(Runnable part) {
        int before = reported;
        part.run();
        return reported == before;
    }

    /**
     * The example of the layout's kind.
     *
     * @param turns the messages before the answer
     * @param answer reads the answer that an SFT or KTO row has, which is added to them
     */
    final @Nullable Example finish(Turns turns, Supplier<Turns.@Nullable Turn> answer) {
        if (layout.kind() == Layout.Kind.PAIRS) {
            return pair(turns);
        }
        Turns.Turn last = answer.get();
        if (last != null) {
            turns.add(last);
        }
        Conversation conversation = turns.conversation(tools());
        if (conversation == null || !isSound()) {
            return null;
        }
        Provenance place = at(turns.fields());
        if (layout.kind() != Layout.Kind.JUDGED) {
            return new SftExample(conversation, turns.lossWeights(), place);
        }
        String label = layout.name(Column.KTO_TAG);
        return Judgement.of(row.path(label))
                .map(good -> new KtoExample(conversation, good, place))
                .orElseGet(() -> {
                    report(label, "is " + describe(row.path(label)) + ", expected true or false");
                    return null;
                });
    }

    private @Nullable Example pair(Turns turns) {
        return pair(turns, answerOf(Column.CHOSEN), answerOf(Column.REJECTED));
    }

    /** The pair of a prompt and two answers; those that are null are reported. */
    final @Nullable Example pair(Turns turns, Turns.@Nullable Turn chosen, Turns.@Nullable Turn rejected) {
        Conversation prompt = turns.conversation(tools());
        if (prompt == null || chosen == null || rejected == null || !isSound()) {
            return null;
        }
        List<String> fields = new ArrayList<>(turns.fields());
        fields.add(chosen.field());
        fields.add(rejected.field());
        return new PreferenceExample(prompt, chosen.message(), rejected.message(), at(fields));
    }

    /** One of the two answers of a pair: a text, a message, or a list of one message. */
    private Turns.@Nullable Turn answerOf(Column column) {
        String name = layout.name(column);
        JsonNode value = row.path(name);
        if (value.isMissingNode() || value.isNull()) {
            report(
                    name,
                    (value.isNull() ? "is null" : "is missing") + "; a preference pair needs "
                            + quoted(Column.CHOSEN) + " and " + quoted(Column.REJECTED) + ", found the columns "
                            + UnknownFormat.columns(row));
            return null;
        }
        if (value.isArray() && value.size() == 1) {
            return new MessageReader(this).read(value.get(0), name + "[0]");
        }
        if (value.isObject()) {
            return new MessageReader(this).read(value, name);
        }
        if (value.isArray()) {
            report(
                    name,
                    "is " + describe(value) + " messages, expected one message or its text; pairs of whole"
                            + " conversations after the prompt cannot be trained");
            return null;
        }
        String text = text(name, value);
        if (value.isTextual() && text.isBlank()) {
            report(name, "is blank, so there is nothing to compare; give it an answer or delete the row");
        }
        return Turns.Turn.of(ChatMessage.assistant(text), name);
    }

    /** The functions of the row. */
    final List<Map<String, @Nullable Object>> tools() {
        return layout.present(row, Column.TOOLS) ? new ToolFields(this).schemas(layout.name(Column.TOOLS)) : List.of();
    }

    /** The system message, if the row has a column for it that is not blank. */
    final void addSystem(Turns turns) {
        if (!layout.has(Column.SYSTEM)) {
            return;
        }
        String field = layout.name(Column.SYSTEM);
        String system = text(field, false);
        if (!system.isBlank()) {
            turns.add(Turns.Turn.of(ChatMessage.system(system), field));
        }
    }

    /** The place of the row, with the fields of its messages. */
    final Provenance at(List<String> fields) {
        return new Provenance(where.source(), where.row(), fields);
    }

    /** The text of a field; an empty one if it is missing, null or no text, which is reported unless it may be missing. */
    final String text(String field, boolean required) {
        JsonNode value = row.path(field);
        if (value.isMissingNode() || value.isNull()) {
            if (required) {
                report(
                        field,
                        (value.isNull() ? "is null" : "is missing") + "; " + style() + " needs " + expected()
                                + ", found the columns " + UnknownFormat.columns(row) + looksLike());
            }
            return "";
        }
        return text(field, value);
    }

    private String style() {
        return switch (layout.style()) {
            case ALPACA -> "an alpaca row";
            case MESSAGES -> "a row of messages";
            case PROMPT_COMPLETION -> "a row of prompt and completion";
            case TEXT, AUTO -> "a row of text";
        };
    }

    private String looksLike() {
        return layout.kind() == Layout.Kind.ANSWERS && (row.has("chosen") || row.has("rejected"))
                ? "; it looks like one of preference pairs, but the rows before teach answers: put pairs into a file of"
                        + " their own"
                : "";
    }

    /** The text of a value, or an empty one if it is no text, which is reported. */
    final String text(String field, JsonNode value) {
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

    final String quoted(Column column) {
        return "\"" + layout.name(column) + "\"";
    }

    /** Reports what is wrong with a field, or with the row. */
    final void report(@Nullable String field, String text) {
        String sentence = field == null ? text : "field \"" + field + "\" " + text;
        reported++;
        problems.accept(DatasetProblem.ofRow(where, field, sentence));
    }

    static String describe(JsonNode value) {
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
