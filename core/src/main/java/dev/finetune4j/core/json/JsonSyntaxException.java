package dev.finetune4j.core.json;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * A text that is no JSON, or is beyond a limit of {@link JsonReader}. The message says what was found and what to do, but
 * not where: {@link #place()} does.
 */
public final class JsonSyntaxException extends IOException {
    private static final long serialVersionUID = 1L;

    private final int line;
    private final int column;
    private final @Nullable String field;
    private final boolean cutOff;

    JsonSyntaxException(String message, int line, int column, @Nullable String field, boolean cutOff) {
        super(message);
        this.line = line;
        this.column = column;
        this.field = field;
        this.cutOff = cutOff;
    }

    /** The line, counted from 1. */
    public int line() {
        return line;
    }

    /** The place in the line in UTF-16 units, counted from 1. */
    public int column() {
        return column;
    }

    /** The field in whose value the place is, by its path such as {@code rope_scaling.factor}; null outside of all. */
    public @Nullable String field() {
        return field;
    }

    /** Whether the text ended in the middle of a value. */
    public boolean isCutOff() {
        return cutOff;
    }

    /** Line, column and, if there is one, field. */
    public String place() {
        return "line " + line + ", column " + column + (field == null ? "" : ", in the field \"" + field + "\"");
    }
}
