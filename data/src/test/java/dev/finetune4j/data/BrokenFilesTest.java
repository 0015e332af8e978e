package dev.finetune4j.data;

import static dev.finetune4j.data.Fixtures.fails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Damaged and odd files: each is read whole or refused with its name, the place and the reason. */
class BrokenFilesTest {
    private static final Path FOLDER = TestData.resource("data/broken");
    private static final JsonNode CASES =
            TestData.json(FOLDER.resolve("expected.json")).path("cases");

    static Stream<String> files() {
        return CASES.properties().stream().map(Map.Entry::getKey);
    }

    @Test
    void thereAreCasesOfEachKind() {
        assertEquals(32, files().count());
    }

    @ParameterizedTest
    @MethodSource("files")
    void readWholeOrRefusedWithItsPlace(String name) {
        BrokenCase.check(FOLDER.resolve(name), CASES.path(name));
    }

    @Test
    void aLineOf300KilobytesKeepsAllItsCharacters(@TempDir Path folder) throws IOException {
        String answer = "x".repeat(300_000) + " end";
        Path file = Files.writeString(
                folder.resolve("huge_line.jsonl"),
                "{\"instruction\": \"Say hi\", \"input\": \"\", \"output\": \"Hi!\"}\n"
                        + "{\"instruction\": \"long\", \"input\": \"\", \"output\": \"" + answer + "\"}\n");
        Dataset dataset = Dataset.read(file);
        assertEquals(2, dataset.size());
        assertEquals(
                List.of("long", answer), Fixtures.contents(dataset.examples().get(1)));
        assertEquals(List.of(), dataset.warnings());
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
                "30_two_humans.json        | \"conversations[1]\" is a message of \"human\" after one of \"human\"",
                "31_starts_with_gpt.json   | \"conversations[0]\" is a message of \"gpt\" that stands first",
                "32_ends_with_human.json   | must end with an answer",
                "40_dpo_same_answers.json  | are the same",
                "47_csv_ragged.csv         | has 2 cells, but the header has 3"
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
