package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** The Alpaca format, which {@link dev.finetune4j.data.DatasetFormat.Alpaca} describes. */
record AlpacaFormat() implements RowFormat {
    @Override
    public boolean fits(JsonNode row) {
        return !row.isObject() || row.has("instruction") || row.has("output");
    }

    @Override
    public @Nullable Example read(JsonNode row, Provenance where, Consumer<DatasetProblem> problems) {
        return new AlpacaRow(row, where, problems).example();
    }
}
