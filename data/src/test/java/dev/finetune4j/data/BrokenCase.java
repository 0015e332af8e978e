package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.ChatMessage;
import java.nio.file.Path;
import java.util.List;

/** A damaged or odd file, and what must be said of it. */
final class BrokenCase {
    /** What messages of other people's code look like. */
    private static final List<String> FOREIGN =
            List.of("Exception", "java.", "com.fasterxml", "siegmar", "at [Source", "org.apache", "null pointer");

    private BrokenCase() {}

    /** Holds one case to its entry of {@code expected.json}. */
    static void check(Path file, JsonNode expected) {
        try {
            Dataset dataset = Dataset.read(file);
            dataset.requireReady();
            accepted(dataset, expected);
        } catch (DatasetException e) {
            assertTrue(
                    expected.path("result").asText().equals("error")
                            || expected.path("may_error").asBoolean(),
                    () -> "must be read, but: " + e.getMessage());
            refused(file, e, expected);
        }
    }

    private static void accepted(Dataset dataset, JsonNode expected) {
        boolean may = expected.has("may_accept_rows");
        assertTrue(expected.path("result").asText().equals("accept") || may, "must be refused");
        assertEquals(expected.path(may ? "may_accept_rows" : "rows").asInt(), dataset.size());
        for (Example example : dataset.examples()) {
            example.texts().forEach(text -> assertTrue(text.indexOf('\r') < 0, text));
        }
        for (int i = 0; i < 2; i++) {
            JsonNode row = expected.path("row" + i);
            if (row.has("output")) {
                List<String> texts = dataset.examples().get(i).texts();
                String input = row.path("input").asText("");
                String question = row.path("instruction").asText() + (input.isBlank() ? "" : "\n" + input);
                assertEquals(List.of(question, row.path("output").asText()), texts);
            }
            if (expected.has("prompt" + i)) {
                assertEquals(
                        expected.path("prompt" + i).asText(),
                        dataset.examples().get(i).texts().get(0));
            }
            if (expected.has("output" + i + "_length")) {
                List<String> texts = dataset.examples().get(i).texts();
                assertEquals(
                        expected.path("output" + i + "_length").asInt(),
                        texts.get(texts.size() - 1).length());
            }
        }
        if (expected.has("system0")) {
            ChatMessage first = ((SftExample) dataset.examples().get(0))
                    .conversation()
                    .messages()
                    .get(0);
            assertEquals(ChatMessage.system(expected.path("system0").asText()), first);
        }
        assertEquals(expected.path("warn").asBoolean(), !dataset.warnings().isEmpty());
    }

    private static void refused(Path file, DatasetException failure, JsonNode expected) {
        DatasetProblem first = failure.problems().get(0);
        String message = failure.getMessage();
        ours(file, failure);
        if (expected.has("line")) {
            assertEquals(expected.path("line").asInt(), first.line(), message);
            assertTrue(message.contains("line " + first.line()), message);
        }
        if (expected.has("column")) {
            assertEquals(expected.path("column").asInt(), first.column(), message);
            assertTrue(message.contains("column " + first.column()), message);
        }
        if (expected.has("row")) {
            assertEquals(expected.path("row").asLong(), first.row(), message);
            assertTrue(message.contains("row " + first.row()), message);
        }
        if (expected.has("message")) {
            assertTrue(message.contains("[" + expected.path("message").asInt() + "]"), message);
        }
        if (expected.has("column_name")) {
            assertEquals(expected.path("column_name").asText(), first.field());
        }
        for (String named : List.of("missing", "found", "placeholders")) {
            expected.path(named).forEach(name -> assertTrue(message.contains(name.asText()), message));
        }
        if (expected.has("role")) {
            assertTrue(message.contains("\"" + expected.path("role").asText() + "\""), message);
        }
        expected.path("bad_rows").forEach(row -> assertTrue(message.contains("row " + row.asInt() + ":"), message));
    }

    /** The message names the file and uses no other library's words. */
    static void ours(Path file, DatasetException failure) {
        String message = failure.getMessage();
        assertEquals(file.toString(), failure.problems().get(0).source());
        assertTrue(message.contains(file.toString()), message);
        FOREIGN.forEach(word -> assertFalse(message.replace(file.toString(), "").contains(word), message));
    }

    /** An odd file gives rows, or an error of ours. */
    static void checkOdd(Path file) {
        try {
            assertTrue(Dataset.read(file).size() > 0);
        } catch (DatasetException e) {
            ours(file, e);
        }
    }
}
