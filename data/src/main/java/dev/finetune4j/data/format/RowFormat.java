package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetFormat;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Makes examples of rows, whatever kind of file they come from. Stateless. */
interface RowFormat {
    /** Whether a row may be of this format. If the first of a file may not, none is. */
    boolean fits(JsonNode row);

    /**
     * The example of a row, or null if something is wrong with it.
     *
     * @param problems takes all that is wrong with the row
     */
    @Nullable
    Example read(JsonNode row, Provenance where, Consumer<DatasetProblem> problems);

    /** The format that was asked for, or the one that fits the first row; null if none does. */
    static @Nullable RowFormat of(DatasetFormat wanted, JsonNode first) {
        RowFormat alpaca = new AlpacaFormat();
        return wanted instanceof DatasetFormat.Alpaca || alpaca.fits(first) ? alpaca : null;
    }
}
