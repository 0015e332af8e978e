package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.TextExample;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A row of text for pre-training. */
final class TextRow extends RowReader {
    TextRow(Layout layout, JsonNode row, Provenance where, Consumer<DatasetProblem> problems) {
        super(layout, row, where, problems);
    }

    @Override
    String expected() {
        return quoted(Column.TEXT);
    }

    @Override
    @Nullable
    Example read() {
        String field = layout.name(Column.TEXT);
        String text = text(field, true);
        if (isSound() && text.isBlank()) {
            report(field, "is blank, so there is nothing to learn; give it a text or delete the row");
        }
        return isSound() ? new TextExample(text, at(List.of(field))) : null;
    }
}
