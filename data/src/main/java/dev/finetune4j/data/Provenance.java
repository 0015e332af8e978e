package dev.finetune4j.data;

import java.util.List;
import java.util.Objects;

/**
 * Where an example came from, so that an error can name the place.
 *
 * @param source the file as the caller named it, or what the caller calls examples that come from no file
 * @param row place of the example in the source, counted from 0
 * @param fields the field of the row that each message was read from, in the order of the messages; empty if messages
 *     did not come from fields
 */
public record Provenance(String source, long row, List<String> fields) {
    static final String IN_MEMORY = "in-memory examples";

    /** @throws IllegalArgumentException if the row is negative */
    public Provenance {
        Objects.requireNonNull(source, "source");
        if (row < 0) {
            throw new IllegalArgumentException("row is " + row + ", but rows are counted from 0");
        }
        fields = List.copyOf(fields);
    }

    /** @throws IllegalArgumentException if the row is negative */
    public Provenance(String source, long row) {
        this(source, row, List.of());
    }

    /** The place of an example that was made in the program; {@link Dataset#of} fills in the row. */
    static Provenance inMemory(long row) {
        return new Provenance(IN_MEMORY, row);
    }

    boolean isInMemory() {
        return source.equals(IN_MEMORY);
    }
}
