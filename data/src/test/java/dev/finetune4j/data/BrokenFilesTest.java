package dev.finetune4j.data;

import static dev.finetune4j.data.Fixtures.fails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Damaged and odd files: each is read whole or refused with its name, the place and the reason. */
class BrokenFilesTest {
    private static final Path FOLDER = TestData.resource("data/broken");
    private static final JsonNode CASES =
            TestData.json(FOLDER.resolve("expected.json")).path("cases");

    private static Stream<String> files(String result, boolean alpaca) {
        return CASES.properties().stream()
                .filter(entry ->
                        !alpaca || entry.getValue().path("result").asText().equals(result))
                .filter(entry ->
                        alpaca == entry.getValue().path("format").asText().equals("alpaca"))
                .map(Map.Entry::getKey)
                .filter(name -> !name.startsWith("27"));
    }

    static Stream<String> refused() {
        return files("error", true);
    }

    static Stream<String> accepted() {
        return files("accept", true);
    }

    static Stream<String> inOtherFormats() {
        return files("any", false);
    }

    @Test
    void thereAreCasesOfEachKind() {
        assertEquals(15, refused().count());
        assertEquals(7, accepted().count());
        assertEquals(10, inOtherFormats().count());
    }

    @ParameterizedTest
    @MethodSource("refused")
    void refusedWithItsPlace(String name) {
        JsonNode expected = CASES.path(name);
        Path file = FOLDER.resolve(name);
        DatasetException failure = fails(() -> Dataset.read(file), name);
        DatasetProblem first = failure.problems().get(0);
        assertEquals(file.toString(), first.source());
        if (expected.has("line")) {
            assertEquals(expected.path("line").asInt(), first.line());
            assertTrue(failure.getMessage().contains("line " + first.line()), failure.getMessage());
        }
        if (expected.has("column")) {
            assertEquals(expected.path("column").asInt(), first.column());
            assertTrue(failure.getMessage().contains("column " + first.column()), failure.getMessage());
        }
        if (expected.has("row")) {
            assertEquals(expected.path("row").asLong(), first.row());
            assertTrue(failure.getMessage().contains("row " + first.row()), failure.getMessage());
        }
        if (expected.has("column_name")) {
            assertEquals(expected.path("column_name").asText(), first.field());
        }
        List<String> named = new ArrayList<>();
        expected.path("missing").forEach(column -> named.add("\"" + column.asText() + "\""));
        expected.path("found").forEach(column -> named.add("\"" + column.asText() + "\""));
        expected.path("bad_rows").forEach(row -> named.add("row " + row.asInt() + ":"));
        named.forEach(part -> assertTrue(failure.getMessage().contains(part), part + " in " + failure.getMessage()));
    }

    @ParameterizedTest
    @MethodSource("accepted")
    void acceptedWhole(String name) {
        JsonNode expected = CASES.path(name);
        Dataset dataset = Dataset.read(FOLDER.resolve(name));
        assertEquals(expected.path("rows").asInt(), dataset.size());
        for (Example example : dataset.examples()) {
            Fixtures.contents(example).forEach(text -> assertTrue(text.indexOf('\r') < 0, text));
        }
        List<String> first = Fixtures.contents(dataset.examples().get(0));
        if (expected.has("row0")) {
            assertEquals(expected.path("row0").path("instruction").asText(), first.get(0));
            assertEquals(expected.path("row0").path("output").asText(), first.get(1));
        }
        if (expected.has("prompt0")) {
            assertEquals(expected.path("prompt0").asText(), first.get(0));
            assertEquals(
                    expected.path("prompt1").asText(),
                    Fixtures.contents(dataset.examples().get(1)).get(0));
        }
        if (expected.has("output1_length")) {
            String answer = Fixtures.contents(dataset.examples().get(1)).get(1);
            assertEquals(expected.path("output1_length").asInt(), answer.length());
        }
    }

    @ParameterizedTest
    @MethodSource("inOtherFormats")
    void otherFormatsAreNamedWithTheirColumns(String name) {
        DatasetException failure = fails(() -> Dataset.read(FOLDER.resolve(name)), name);
        assertEquals(1, failure.count());
        if (name.endsWith(".csv")) {
            fails(() -> Dataset.read(FOLDER.resolve(name)), "begins with \"instruction,input,output\"", "CSV");
            return;
        }
        JsonNode row = TestData.json(FOLDER.resolve(name)).get(0);
        StreamSupport.stream(((Iterable<String>) row::fieldNames).spliterator(), false)
                .forEach(column -> assertTrue(
                        failure.getMessage().contains("\"" + column + "\""), column + " in " + failure.getMessage()));
        assertTrue(failure.getMessage().contains("cannot be read as alpaca"), failure.getMessage());
        assertEquals(0L, failure.problems().get(0).row());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "01_missing_comma.json     | before the next item",
                "02_trailing_comma.json    | a comma stands before",
                "03_truncated.json         | the end of the file comes in the middle",
                "04_single_quotes.json     | double quotes alone",
                "05_empty_file.json        | is empty",
                "06_empty_array.json       | holds no rows",
                "07_object_not_array.json  | spans several lines",
                "10_bad_escape.json        | escape \\p",
                "11_raw_control_char.json  | write \\u0001 for it",
                "16_invalid_utf8.jsonl     | byte 0xE9 is not UTF-8",
                "19_bad_line.jsonl         | the line ends in the middle of a value",
                "30_two_humans.json        | looks like ShareGPT conversations",
                "40_dpo_same_answers.json  | looks like preference pairs",
                "43_kto_one_class.json     | looks like lists of messages",
                "50_gzip_named_json.json   | is gzip data"
            })
    void theReasonIsGiven(String name, String reason) {
        fails(() -> Dataset.read(FOLDER.resolve(name)), reason);
    }

    @Test
    void placeholdersAreNamedUnlessTheyHaveValues() {
        Path file = FOLDER.resolve("27_placeholders.json");
        Dataset dataset = Dataset.read(file);
        DatasetException failure = fails(
                dataset::requireReady,
                "27_placeholders.json, row 0: field \"output\" holds the placeholder {{name}}",
                ".placeholder(\"name\", \"…\")",
                "{{author}}",
                ".placeholder(\"author\", \"…\")");
        assertEquals(2, failure.count());
        Dataset bound = dataset.bind(Map.of("name", "Aria", "author", "Lab"));
        bound.requireReady();
        assertEquals(
                List.of("Who are you?", "I am Aria, developed by Lab."),
                Fixtures.contents(bound.examples().get(0)));
    }

    @Test
    void theCauseIsKept() {
        assertNotNull(fails(() -> Dataset.read(FOLDER.resolve("01_missing_comma.json")))
                .getCause());
    }
}
