package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetException;

/** Rows that are read when they are asked for. Thread-safe. */
public interface RowsByNumber {
    /**
     * How many there are, for which the whole file may have to be looked at.
     *
     * @throws DatasetException if it cannot be
     */
    int size();

    /**
     * Whether there is such a row; those behind it are not looked at.
     *
     * @throws DatasetException if it cannot be told
     */
    boolean has(int index);

    /**
     * A row.
     *
     * @param index counted from 0
     * @throws DatasetException if it cannot be read, naming the place
     */
    JsonNode row(int index);
}
