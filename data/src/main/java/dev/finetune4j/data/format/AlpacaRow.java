package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.TextExample;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A row in the style of Alpaca: an instruction, perhaps with an input, and its answer or answers. */
final class AlpacaRow extends RowReader {
    AlpacaRow(Layout layout, JsonNode row, Provenance where, Consumer<DatasetProblem> problems) {
        super(layout, row, where, problems);
    }

    @Override
    String expected() {
        return switch (layout.kind()) {
            case TEXTS -> quoted(Column.PROMPT);
            case PAIRS -> quoted(Column.PROMPT) + ", " + quoted(Column.CHOSEN) + " and " + quoted(Column.REJECTED);
            case ANSWERS, JUDGED -> quoted(Column.PROMPT) + " and " + quoted(Column.RESPONSE);
        };
    }

    @Override
    @Nullable
    Example read() {
        if (layout.kind() == Layout.Kind.TEXTS) {
            String field = layout.name(Column.PROMPT);
            return new TextExample(text(field, true), at(List.of(field)));
        }
        if (layout.kind() == Layout.Kind.ANSWERS && layout.present(row, Column.KTO_TAG)) {
            report(
                    layout.name(Column.KTO_TAG),
                    "judges the answer, which looks like KTO feedback, but the rows before have no such column; put rows"
                            + " of one kind into a file of their own");
            return null;
        }
        Turns turns = new Turns(this);
        addSystem(turns);
        history(turns);
        prompt(turns);
        return finish(turns, this::answer);
    }

    private void prompt(Turns turns) {
        String instructionField = layout.name(Column.PROMPT);
        String inputField = layout.name(Column.QUERY);
        String[] texts = {"", ""};
        boolean sound = soundAfter(() -> {
            texts[0] = text(instructionField, true);
            texts[1] = layout.has(Column.QUERY) ? text(inputField, false) : "";
        });
        String instruction = texts[0];
        String input = texts[1];
        if (!sound) {
            return;
        }
        if (instruction.isBlank() && input.isBlank()) {
            report(instructionField, "is blank, and so is \"" + inputField + "\"; the question must have a text");
        } else if (input.isBlank()) {
            turns.add(Turns.Turn.of(ChatMessage.user(instruction), instructionField));
        } else if (instruction.isEmpty()) {
            turns.add(Turns.Turn.of(ChatMessage.user(input), inputField));
        } else {
            turns.add(Turns.Turn.of(ChatMessage.user(instruction + "\n" + input), instructionField + "/" + inputField));
        }
    }

    private Turns.@Nullable Turn answer() {
        String field = layout.name(Column.RESPONSE);
        String[] output = {""};
        boolean sound = soundAfter(() -> output[0] = text(field, true));
        if (!sound) {
            return null;
        }
        if (output[0].isBlank()) {
            report(field, "is blank, so there is nothing to learn; give it an answer or delete the row");
            return null;
        }
        return isSound() ? Turns.Turn.of(ChatMessage.assistant(output[0]), field) : null;
    }

    private void history(Turns turns) {
        if (!layout.present(row, Column.HISTORY)) {
            return;
        }
        String field = layout.name(Column.HISTORY);
        JsonNode history = row.path(field);
        if (history.isTextual()) {
            // A table has no lists.
            history = new ToolFields(this).parsed(history.textValue(), field);
            if (history == null) {
                return;
            }
        }
        if (!history.isArray()) {
            report(field, "is " + describe(history) + ", expected a list of [question, answer] pairs");
            return;
        }
        for (int i = 0; i < history.size(); i++) {
            JsonNode pair = history.get(i);
            String name = field + "[" + i + "]";
            if (!pair.isArray() || pair.size() != 2) {
                report(name, "is " + describe(pair) + ", expected a pair [question, answer]");
                continue;
            }
            for (int j = 0; j < 2; j++) {
                String part = name + "[" + j + "]";
                String content = text(part, pair.get(j));
                if (pair.get(j).isTextual() && content.isBlank()) {
                    report(part, "is blank, expected a text; fill it in or delete the pair");
                }
                turns.add(Turns.Turn.of(j == 0 ? ChatMessage.user(content) : ChatMessage.assistant(content), part));
            }
        }
    }
}
