package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.ChatMessage;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A small file, and the rows or the error that it must give: exactly the rows, or each part of the place that is named. */
final class OddFile {
    private OddFile() {}

    static void check(Path file, JsonNode expected) {
        if (expected.has("rows")) {
            assertEquals(wanted(expected.path("rows")), rows(Dataset.read(file)));
            return;
        }
        JsonNode error = expected.path("error");
        assertTrue(error.isObject(), "neither rows nor an error are expected of " + file);
        DatasetException failure =
                assertThrows(DatasetException.class, () -> Dataset.read(file).requireReady());
        BrokenCase.ours(file, failure);
        DatasetProblem first = failure.problems().get(0);
        String message = failure.getMessage();
        assertTrue(message.contains(error.path("says").asText("")), message);
        if (error.has("row")) {
            assertEquals(error.path("row").asLong(), first.row(), message);
        }
        if (error.has("line")) {
            assertEquals(error.path("line").asInt(), first.line(), message);
        }
        if (error.has("column")) {
            assertEquals(error.path("column").asInt(), first.column(), message);
        }
        if (error.has("field")) {
            assertEquals(error.path("field").asText(), first.field(), message);
        }
    }

    private static List<List<List<String>>> wanted(JsonNode rows) {
        List<List<List<String>>> wanted = new ArrayList<>();
        for (JsonNode row : rows) {
            List<List<String>> messages = new ArrayList<>();
            row.forEach(message -> messages.add(
                    List.of(message.path(0).asText(), message.path(1).asText())));
            wanted.add(messages);
        }
        return wanted;
    }

    private static List<List<List<String>>> rows(Dataset dataset) {
        return dataset.examples().stream()
                .map(example -> ((SftExample) example)
                        .conversation().messages().stream()
                                .map(OddFile::message)
                                .toList())
                .toList();
    }

    private static List<String> message(ChatMessage message) {
        return List.of(message.role().name().toLowerCase(Locale.ROOT), message.content());
    }
}
