package dev.finetune4j.data;

import dev.finetune4j.core.message.Arguments;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * What the columns of a row mean. Start from {@link #auto()} or a style, and rename what is called otherwise: {@code
 * DatasetFormat.alpaca().with(Column.PROMPT, "question").with(Column.RESPONSE, "answer")}.
 *
 * <p>What a row teaches follows from the columns that the first row has: those of {@link Column#CHOSEN} and {@link
 * Column#REJECTED} make preference pairs, that of {@link Column#KTO_TAG} judged answers, else there are answers or
 * texts to learn. Columns that mean nothing are ignored.
 *
 * @param style how a row is laid out
 * @param columns the names of the columns that are called otherwise than usual; a column that is named is the only one
 *     of its kind, and an empty name says that there is none
 * @param tags the names that messages have otherwise than usual
 */
public record DatasetFormat(Style style, Map<Column, String> columns, Map<Tag, String> tags) {
    /** How a row is laid out. */
    public enum Style {
        /** Recognised by the columns of the first row; what is not recognised is an error that names the columns. */
        AUTO,
        /**
         * <a href="https://github.com/tatsu-lab/stanford_alpaca#data-release">Alpaca</a>: {@code instruction}, optionally
         * {@code input}, {@code output}, and optionally {@code system}, {@code tools} and {@code history}, which is a list of
         * pairs of a question and an answer that come before. The prompt is the instruction, followed by a new line and the
         * input if that is not blank.
         */
        ALPACA,
        /**
         * A list of messages under {@code messages} or {@code conversations}: that of
         * <a href="https://platform.openai.com/docs/api-reference/chat/create">OpenAI</a> ({@code role} and {@code content},
         * {@code tool_calls}), of ShareGPT ({@code from} and {@code value}, {@code human}, {@code gpt}, {@code function_call},
         * {@code observation}) or LLaMA-Factory's with a {@code loss_weight} in each message. Beside it there may be {@code
         * system} and {@code tools}.
         */
        MESSAGES,
        /** A {@code prompt} with its {@code completion}, each a text or a list of messages, as TRL has them. */
        PROMPT_COMPLETION,
        /** A {@code text} to learn as it stands, for continued pre-training. */
        TEXT
    }

    /** What a column holds, with the names that it usually has. */
    public enum Column {
        /** The question, or the instruction: {@code instruction} or {@code prompt}. */
        PROMPT("instruction", "prompt"),
        /** What the instruction is about: {@code input}. */
        QUERY("input"),
        /** The answer: {@code output} or {@code completion}. */
        RESPONSE("output", "completion"),
        /** Earlier questions and answers: {@code history}. */
        HISTORY("history"),
        /** The list of messages: {@code messages} or {@code conversations}. */
        MESSAGES("messages", "conversations"),
        /** The system message: {@code system}. */
        SYSTEM("system"),
        /** Schemas of the functions that may be called, as a list or as the JSON text of one: {@code tools}. */
        TOOLS("tools"),
        /** The better answer: {@code chosen}. */
        CHOSEN("chosen"),
        /** The worse answer: {@code rejected}. */
        REJECTED("rejected"),
        /** Whether the answer is a good one: {@code kto_tag} or, outside of alpaca, {@code label}. */
        KTO_TAG("kto_tag", "label"),
        /** A text for pre-training: {@code text}. */
        TEXT("text");

        private final List<String> usual;

        Column(String... usual) {
            this.usual = List.of(usual);
        }

        /** The names that it usually has. */
        public List<String> usualNames() {
            return usual;
        }
    }

    /** A name in a message, with those that are usual. */
    public enum Tag {
        /** The field that says who speaks: {@code role} or {@code from}. */
        ROLE("role", "from"),
        /** The field of what was said: {@code content} or {@code value}. */
        CONTENT("content", "value"),
        /** Who asks: {@code user} or {@code human}. */
        USER("user", "human"),
        /** Who answers: {@code assistant} or {@code gpt}. */
        ASSISTANT("assistant", "gpt"),
        /** The result of a function: {@code tool}, {@code observation} or {@code function}. */
        OBSERVATION("tool", "observation", "function"),
        /** A message that is the JSON of the assistant's call of a function, or of a list of them: {@code function_call}. */
        FUNCTION("function_call"),
        /** The system message: {@code system} or {@code developer}. */
        SYSTEM("system", "developer");

        private final List<String> usual;

        Tag(String... usual) {
            this.usual = List.of(usual);
        }

        /** The names that it usually has. */
        public List<String> usualNames() {
            return usual;
        }
    }

    public DatasetFormat {
        Arguments.given(style, "DatasetFormat(style)");
        columns = copy(Column.class, Arguments.given(columns, "DatasetFormat(columns)"));
        tags = copy(Tag.class, Arguments.given(tags, "DatasetFormat(tags)"));
    }

    private static <K extends Enum<K>> Map<K, String> copy(Class<K> type, Map<K, String> names) {
        Map<K, String> copy = new EnumMap<>(type);
        copy.putAll(names);
        return Collections.unmodifiableMap(copy);
    }

    private DatasetFormat(Style style) {
        this(style, Map.of(), Map.of());
    }

    /** {@link Style#AUTO}. */
    public static DatasetFormat auto() {
        return new DatasetFormat(Style.AUTO);
    }

    /** {@link Style#ALPACA}. */
    public static DatasetFormat alpaca() {
        return new DatasetFormat(Style.ALPACA);
    }

    /** {@link Style#MESSAGES}. */
    public static DatasetFormat messages() {
        return new DatasetFormat(Style.MESSAGES);
    }

    /** {@link Style#PROMPT_COMPLETION}. */
    public static DatasetFormat promptCompletion() {
        return new DatasetFormat(Style.PROMPT_COMPLETION);
    }

    /** {@link Style#TEXT}. */
    public static DatasetFormat text() {
        return new DatasetFormat(Style.TEXT);
    }

    /** The same format with a column of another name. */
    public DatasetFormat with(Column column, String name) {
        Map<Column, String> names = new EnumMap<>(Column.class);
        names.putAll(columns);
        names.put(Arguments.given(column, "with(column)"), Arguments.given(name, "with(name)"));
        return new DatasetFormat(style, names, tags);
    }

    /** The same format with another name in messages. */
    public DatasetFormat with(Tag tag, String name) {
        Map<Tag, String> names = new EnumMap<>(Tag.class);
        names.putAll(tags);
        names.put(Arguments.given(tag, "with(tag)"), Arguments.given(name, "with(name)"));
        return new DatasetFormat(style, columns, names);
    }

    /** The same format, of which no row has such a column. */
    public DatasetFormat without(Column column) {
        return with(column, "");
    }
}
