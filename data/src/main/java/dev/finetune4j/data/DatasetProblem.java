package dev.finetune4j.data;

import java.io.Serializable;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One thing that is wrong with a data set, and where.
 *
 * @param source the file, as in {@link Provenance#source()}
 * @param row the row, counted from 0, if the problem is one row's
 * @param line the line of the file, counted from 1, if it is known
 * @param column the place in the line in UTF-16 units, counted from 1, if it is known
 * @param field the field of the row, if the problem is one field's
 * @param text what was found, what was expected and what to do; it names the field, but not the other places
 */
public record DatasetProblem(
        String source,
        @Nullable Long row,
        @Nullable Integer line,
        @Nullable Integer column,
        @Nullable String field,
        String text)
        implements Serializable {
    private static final long serialVersionUID = 1L;

    public DatasetProblem {
        Objects.requireNonNull(source, "source");
        Objects.requireNonNull(text, "text");
    }

    /** A problem of a whole file. */
    public static DatasetProblem ofFile(String source, String text) {
        return new DatasetProblem(source, null, null, null, null, text);
    }

    /** A problem of one row, or of one field of it. */
    public static DatasetProblem ofRow(Provenance where, @Nullable String field, String text) {
        return new DatasetProblem(where.source(), where.row(), null, null, field, text);
    }

    /** The same problem, with its place in the text of the file. */
    public DatasetProblem atLine(@Nullable Integer newLine, @Nullable Integer newColumn) {
        return new DatasetProblem(source, row, newLine, newColumn, field, text);
    }

    /** The whole sentence, such as {@code identity.json, row 3: field "output" is missing; …}. */
    @Override
    public String toString() {
        return source
                + (row == null ? "" : ", row " + row)
                + (line == null ? "" : ", line " + line)
                + (column == null ? "" : ", column " + column)
                + ": " + text;
    }
}
