package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetFormat;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.DatasetFormat.Style;
import dev.finetune4j.data.DatasetFormat.Tag;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A format whose names are settled by the first row, and what its rows teach.
 *
 * @param style never {@link Style#AUTO}
 * @param kind what each row teaches
 * @param columns the name of each column that rows may have
 * @param tags the names of messages that are called otherwise than usual
 */
record Layout(Style style, Kind kind, Map<Column, String> columns, Map<Tag, String> tags) {
    /** What a row teaches. */
    enum Kind {
        ANSWERS("answers to learn"),
        PAIRS("preference pairs"),
        JUDGED("judged answers (KTO)"),
        TEXTS("texts to learn");

        private final String text;

        Kind(String text) {
            this.text = text;
        }
    }

    /** The columns that a row of a style may have. */
    private static final Map<Style, List<Column>> COLUMNS = Map.of(
            Style.ALPACA,
            List.of(
                    Column.PROMPT,
                    Column.QUERY,
                    Column.RESPONSE,
                    Column.HISTORY,
                    Column.SYSTEM,
                    Column.TOOLS,
                    Column.CHOSEN,
                    Column.REJECTED,
                    Column.KTO_TAG),
            Style.MESSAGES,
            List.of(Column.MESSAGES, Column.SYSTEM, Column.TOOLS, Column.CHOSEN, Column.REJECTED, Column.KTO_TAG),
            Style.PROMPT_COMPLETION,
            List.of(
                    Column.PROMPT,
                    Column.RESPONSE,
                    Column.SYSTEM,
                    Column.TOOLS,
                    Column.CHOSEN,
                    Column.REJECTED,
                    Column.KTO_TAG),
            Style.TEXT,
            List.of(Column.TEXT));

    /** A column of many meanings outside of alpaca's own rows: it is a judgement if it holds one. */
    private static final String LABEL = "label";

    /** The layout of a file whose first row is given, or null if its columns are not recognised. */
    static @Nullable Layout of(DatasetFormat wanted, JsonNode first) {
        Style style = wanted.style() == Style.AUTO ? recognise(wanted, first) : wanted.style();
        if (style == null) {
            return null;
        }
        Map<Column, String> columns = new EnumMap<>(Column.class);
        for (Column column : COLUMNS.getOrDefault(style, List.of())) {
            String name = wanted.columns().get(column);
            if (name == null) {
                name = usualName(style, column, first);
            }
            if (!name.isEmpty()) {
                columns.put(column, name);
            }
        }
        Layout answers = new Layout(style, Kind.ANSWERS, columns, wanted.tags());
        return new Layout(style, answers.kindOf(first), columns, wanted.tags());
    }

    private static @Nullable Style recognise(DatasetFormat wanted, JsonNode row) {
        if (!row.isObject()) {
            return Style.ALPACA;
        }
        if (has(wanted, row, Column.MESSAGES)) {
            return Style.MESSAGES;
        }
        boolean answered = has(wanted, row, Column.RESPONSE)
                || has(wanted, row, Column.CHOSEN)
                || has(wanted, row, Column.REJECTED);
        if (row.has("prompt") && answered) {
            return Style.PROMPT_COMPLETION;
        }
        if ((has(wanted, row, Column.PROMPT) && !row.has("prompt")) || row.has("output")) {
            return Style.ALPACA;
        }
        if (row.path("chosen").isArray() && row.path("rejected").isArray()) {
            return Style.PROMPT_COMPLETION;
        }
        return has(wanted, row, Column.TEXT) && !row.has("prompt") ? Style.TEXT : null;
    }

    private static boolean has(DatasetFormat wanted, JsonNode row, Column column) {
        String name = wanted.columns().get(column);
        return name == null ? column.usualNames().stream().anyMatch(row::has) : row.has(name);
    }

    /** Of the names that the column usually has, the one that the row has, else the first that the style knows. */
    private static String usualName(Style style, Column column, JsonNode row) {
        List<String> names = column.usualNames();
        if (column == Column.PROMPT || column == Column.RESPONSE) {
            return style == Style.ALPACA ? names.get(0) : names.get(1);
        }
        if (column == Column.KTO_TAG) {
            boolean label = style != Style.ALPACA && Judgement.isOne(row.path(LABEL)) && !row.has(names.get(0));
            return label ? LABEL : names.get(0);
        }
        return names.stream().filter(row::has).findFirst().orElse(names.get(0));
    }

    private Kind kindOf(JsonNode row) {
        if (style == Style.TEXT || (style == Style.ALPACA && !has(Column.RESPONSE) && !has(Column.CHOSEN))) {
            return Kind.TEXTS;
        }
        if (present(row, Column.CHOSEN) || present(row, Column.REJECTED)) {
            return Kind.PAIRS;
        }
        return present(row, Column.KTO_TAG) ? Kind.JUDGED : Kind.ANSWERS;
    }

    /** Whether rows may have such a column. */
    boolean has(Column column) {
        return columns.containsKey(column);
    }

    /** What the column is called. */
    String name(Column column) {
        return columns.getOrDefault(column, column.usualNames().get(0));
    }

    /** Whether a row has a value in a column. */
    boolean present(JsonNode row, Column column) {
        return has(column) && row.hasNonNull(name(column));
    }

    /** One line that says how rows are read. */
    String explain() {
        String from = switch (style) {
            case ALPACA -> "alpaca, by the columns " + named(Column.PROMPT) + " and " + named(Column.RESPONSE);
            case MESSAGES -> "lists of messages, by the column " + named(Column.MESSAGES);
            case PROMPT_COMPLETION ->
                "prompt and completion, by the column " + named(has(Column.PROMPT) ? Column.PROMPT : Column.CHOSEN);
            case TEXT, AUTO -> "plain text, by the column " + named(Column.TEXT);
        };
        String by = switch (kind) {
            case PAIRS -> ", by " + named(Column.CHOSEN) + " and " + named(Column.REJECTED);
            case JUDGED -> ", by " + named(Column.KTO_TAG);
            case ANSWERS, TEXTS -> "";
        };
        return from + ": " + kind.text + by;
    }

    private String named(Column column) {
        return "\"" + name(column) + "\"";
    }
}
