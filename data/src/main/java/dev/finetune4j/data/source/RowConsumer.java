package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import org.jspecify.annotations.Nullable;

/** Takes the rows of a file, in order. */
public interface RowConsumer {
    /**
     * Takes a row.
     *
     * @param index place in the file, counted from 0
     * @param line line of the file, counted from 1, if each row stands in a line of its own
     * @return whether the next row is wanted
     */
    boolean accept(JsonNode row, long index, @Nullable Integer line);
}
