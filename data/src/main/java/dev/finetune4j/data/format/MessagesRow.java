package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A row with a list of messages. */
final class MessagesRow extends RowReader {
    MessagesRow(Layout layout, JsonNode row, Provenance where, Consumer<DatasetProblem> problems) {
        super(layout, row, where, problems);
    }

    @Override
    String expected() {
        return layout.kind() == Layout.Kind.PAIRS
                ? quoted(Column.MESSAGES) + ", " + quoted(Column.CHOSEN) + " and " + quoted(Column.REJECTED)
                : quoted(Column.MESSAGES);
    }

    @Override
    @Nullable
    Example read() {
        String field = layout.name(Column.MESSAGES);
        JsonNode messages = row.path(field);
        if (messages.isTextual()) {
            // A table has no lists.
            messages = new ToolFields(this).parsed(messages.textValue(), field);
            if (messages == null) {
                if (isSound()) {
                    report(field, "is blank, expected a list of messages");
                }
                return null;
            }
        }
        if (messages.isMissingNode() || messages.isNull()) {
            text(field, true);
            return null;
        }
        if (!messages.isArray() || messages.isEmpty()) {
            report(field, "is " + describe(messages) + ", expected a list of messages");
            return null;
        }
        Turns turns = new Turns(this);
        addSystem(turns);
        new MessageReader(this).readAll(messages, field, turns);
        Turns.Turn last = turns.last();
        boolean pairs = layout.kind() == Layout.Kind.PAIRS;
        if (isSound() && last != null && (last.message().role() == Role.ASSISTANT) == pairs) {
            report(
                    last.field(),
                    "is the last and a message of \"" + last.speaker() + "\", but "
                            + (pairs
                                    ? "the two answers of a pair follow a question; take the answer out"
                                    : "an example must end with an answer, which is what training teaches; add the answer"
                                            + " or drop the message"));
        }
        return finish(turns, () -> null);
    }
}
