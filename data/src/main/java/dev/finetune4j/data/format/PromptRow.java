package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A prompt and its completion, each a text or a list of messages; or two whole conversations {@code chosen} and {@code
 * rejected} that differ in the last answer.
 */
final class PromptRow extends RowReader {
    PromptRow(Layout layout, JsonNode row, Provenance where, Consumer<DatasetProblem> problems) {
        super(layout, row, where, problems);
    }

    @Override
    String expected() {
        return layout.kind() == Layout.Kind.PAIRS
                ? quoted(Column.PROMPT) + ", " + quoted(Column.CHOSEN) + " and " + quoted(Column.REJECTED)
                : quoted(Column.PROMPT) + " and " + quoted(Column.RESPONSE);
    }

    @Override
    @Nullable
    Example read() {
        Turns turns = new Turns(this);
        addSystem(turns);
        String field = layout.name(Column.PROMPT);
        JsonNode prompt = row.path(field);
        if (layout.kind() == Layout.Kind.PAIRS && prompt.isMissingNode()) {
            return withSharedPrompt(turns);
        }
        if (prompt.isArray()) {
            new MessageReader(this).readAll(prompt, field, turns);
        } else {
            String text = text(field, true);
            if (isSound() && text.isBlank()) {
                report(field, "is blank; the question must have a text");
            }
            turns.add(Turns.Turn.of(ChatMessage.user(text), field));
        }
        return finish(turns, () -> completion(turns));
    }

    private Turns.@Nullable Turn completion(Turns turns) {
        String field = layout.name(Column.RESPONSE);
        JsonNode completion = row.path(field);
        if (completion.isArray()) {
            new MessageReader(this).readAll(completion, field, turns);
            return null;
        }
        String text = text(field, true);
        if (!isSound()) {
            return null;
        }
        if (text.isBlank()) {
            report(field, "is blank, so there is nothing to learn; give it an answer or delete the row");
            return null;
        }
        return Turns.Turn.of(ChatMessage.assistant(text), field);
    }

    /** The prompt is what both conversations begin with. */
    private @Nullable Example withSharedPrompt(Turns turns) {
        JsonNode chosen = row.path(layout.name(Column.CHOSEN));
        JsonNode rejected = row.path(layout.name(Column.REJECTED));
        if (!chosen.isArray() || !rejected.isArray()) {
            report(
                    layout.name(Column.PROMPT),
                    "is missing; a pair of texts needs a prompt that both answer, found the columns "
                            + UnknownFormat.columns(row));
            return null;
        }
        int shared = 0;
        while (shared < Math.min(chosen.size(), rejected.size())
                && chosen.get(shared).equals(rejected.get(shared))) {
            shared++;
        }
        if (chosen.size() != shared + 1 || rejected.size() != shared + 1) {
            report(
                    layout.name(Column.CHOSEN),
                    "has " + (chosen.size() - shared) + " messages after those that it shares with \""
                            + layout.name(Column.REJECTED) + "\", which has " + (rejected.size() - shared)
                            + "; each needs one answer there, and the two must differ");
            return null;
        }
        MessageReader messages = new MessageReader(this);
        for (int i = 0; i < shared; i++) {
            Turns.Turn turn = messages.read(chosen.get(i), layout.name(Column.CHOSEN) + "[" + i + "]");
            if (turn != null) {
                turns.add(turn);
            }
        }
        return pair(
                turns,
                messages.read(chosen.get(shared), layout.name(Column.CHOSEN) + "[" + shared + "]"),
                messages.read(rejected.get(shared), layout.name(Column.REJECTED) + "[" + shared + "]"));
    }
}
