package dev.finetune4j.data;

import static dev.finetune4j.data.Fixtures.contents;
import static dev.finetune4j.data.Fixtures.fails;
import static dev.finetune4j.data.Fixtures.roles;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Files of Alpaca rows: what each field means, how rows are found, and what is said when something is wrong. */
class DatasetFileTest {
    @TempDir
    private Path folder;

    private Path write(String name, String text) throws IOException {
        return Files.writeString(folder.resolve(name), text);
    }

    private Path write(String name, byte[] bytes) throws IOException {
        return Files.write(folder.resolve(name), bytes);
    }

    private Example only(String row) throws IOException {
        List<Example> examples =
                Dataset.read(write("one.json", "[" + row + "]")).examples();
        assertEquals(1, examples.size());
        return examples.get(0);
    }

    private DatasetException bad(String row, String... parts) throws IOException {
        Path file = write("bad.json", "[{\"instruction\": \"q\", \"output\": \"a\"}, " + row + "]");
        return fails(() -> Dataset.read(file), parts);
    }

    @Test
    void instructionAndInputMakeThePrompt() throws IOException {
        Example example = only("{\"instruction\": \"Add.\", \"input\": \" 1, 2\", \"output\": \" 3 \\n\"}");
        assertEquals(List.of("USER", "ASSISTANT"), roles(example));
        assertEquals(List.of("Add.\n 1, 2", " 3 \n"), contents(example), "no text is trimmed");
        assertEquals(0, example.where().row());
        assertEquals(folder.resolve("one.json").toString(), example.where().source());
        assertEquals(List.of("instruction/input", "output"), example.where().fields());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "\"input\": \"\",", "\"input\": null,", "\"input\": \" \\n\\t\","})
    void aBlankInputIsNoInput(String input) throws IOException {
        assertEquals(List.of("q", "a"), contents(only("{\"instruction\": \"q\"," + input + "\"output\": \"a\"}")));
    }

    @Test
    void anInputAloneIsThePrompt() throws IOException {
        Example example = only("{\"instruction\": \"\", \"input\": \"i\", \"output\": \"a\"}");
        assertEquals(List.of("i", "a"), contents(example));
        assertEquals(List.of("input", "output"), example.where().fields());
    }

    @Test
    void systemAndHistoryComeFirst() throws IOException {
        Example example = only("{\"system\": \"s\", \"history\": [[\"q1\", \"a1\"], [\"q2\", \"a2\"]],"
                + " \"instruction\": \"q3\", \"output\": \"a3\"}");
        assertEquals(List.of("SYSTEM", "USER", "ASSISTANT", "USER", "ASSISTANT", "USER", "ASSISTANT"), roles(example));
        assertEquals(List.of("s", "q1", "a1", "q2", "a2", "q3", "a3"), contents(example));
        assertEquals(
                List.of(
                        "system",
                        "history[0][0]",
                        "history[0][1]",
                        "history[1][0]",
                        "history[1][1]",
                        "instruction",
                        "output"),
                example.where().fields());
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"system\": \"\"", "\"system\": null", "\"history\": null", "\"history\": []"})
    void emptySystemAndHistoryAreNone(String field) throws IOException {
        assertEquals(List.of("q", "a"), contents(only("{" + field + ", \"instruction\": \"q\", \"output\": \"a\"}")));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{'output': 'a'}                            | field \"instruction\" is missing; | instruction",
                "{'instruction': null, 'output': 'a'}       | field \"instruction\" is null; | instruction",
                "{'instruction': 'q'}                       | field \"output\" is missing; | output",
                "{'instruction': 'q', 'output': 7}          | field \"output\" is a number (7), expected a | output",
                "{'instruction': 'q', 'output': ['a']}      | field \"output\" is an array of 1, expected | output",
                "{'instruction': {}, 'output': 'a'}         | field \"instruction\" is an object, expected |"
                        + " instruction",
                "{'instruction': 'q', 'input': true, 'output': 'a'} | field \"input\" is a truth value (true) | input",
                "{'instruction': 'q', 'output': '\\u00a0 '} | | ",
                "{'instruction': 'q', 'output': ' \\n'}     | field \"output\" is blank | output",
                "{'instruction': ' ', 'input': '', 'output': 'a'} | field \"instruction\" is blank | instruction",
                "{'instruction': 'q', 'system': 1, 'output': 'a'} | field \"system\" is a number | system",
                "{'instruction': 'q', 'history': {}, 'output': 'a'} | field \"history\" is an object | history",
                "{'instruction': 'q', 'history': [['x']], 'output': 'a'} | \"history[0]\" is an array of 1 |"
                        + " history[0]",
                "{'instruction': 'q', 'history': ['x'], 'output': 'a'} | \"history[0]\" is a string | history[0]",
                "{'instruction': 'q', 'history': [['x', 1]], 'output': 'a'} | \"history[0][1]\" is a num |"
                        + " history[0][1]",
                "{'instruction': 'q', 'history': [['x', '']], 'output': 'a'} | \"history[0][1]\" is bl | history[0][1]",
                "{'instruction': 'q', 'output': 'x\\ud83d'} | half a surrogate pair, \\ud83d, at character 1 | output",
                "{'instruction': '\\udc00\\ud83d', 'output': 'x'} | half a surrogate pair, \\udc00 | instruction",
            })
    void aBadFieldIsNamed(String row, String reason, String field) throws IOException {
        if (reason == null) {
            Path file = write("ok.json", "[" + row.replace('\'', '"') + "]");
            assertEquals(1, Dataset.read(file).size(), "a no-break space is no white space for Java");
            return;
        }
        DatasetException failure = bad(row.replace('\'', '"'), "bad.json, row 1: ", reason);
        assertEquals(1, failure.count());
        assertEquals(field, failure.problems().get(0).field());
        assertEquals(1L, failure.problems().get(0).row());
    }

    @Test
    void theMissingFieldSentenceIsComplete() throws IOException {
        Path file = write("x.json", "[{\"instruction\": \"q\", \"id\": 1}]");
        assertEquals(
                file + ", row 0: field \"output\" is missing; an alpaca row needs \"instruction\" and \"output\","
                        + " found the columns \"instruction\", \"id\"",
                fails(() -> Dataset.read(file)).getMessage());
    }

    @Test
    void everyProblemOfARowIsReported() throws IOException {
        assertEquals(
                3, bad("{\"instruction\": 1, \"system\": 2, \"output\": \"\"}").count());
    }

    @ParameterizedTest
    @CsvSource({"7,a number (7)", "null,null", "[],an array of 0", "\"x\",a string", "true,a truth value (true)"})
    void aRowThatIsNoObject(String row, String found) throws IOException {
        bad(row, "row 1: is " + found + ", expected an object");
    }

    @Test
    void preferenceAndFeedbackRowsAreNotTakenForAnswers() throws IOException {
        bad(
                "{\"instruction\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\"}",
                "\"output\" is missing",
                "preference pairs");
        bad(
                "{\"instruction\": \"q\", \"output\": \"a\", \"kto_tag\": false}",
                "looks like KTO feedback",
                "\"kto_tag\"");
    }

    @Test
    void filesAroundTheRowsAreToldByWhatTheyHold() throws IOException {
        Path wrapped = write("wrapped.json", "{\"data\": [{\"instruction\": \"q\", \"output\": \"a\"}]}");
        fails(() -> Dataset.read(wrapped), "the rows lie under \"data\"");
        Path info = write("dataset_info.json", "{\"identity\": {\"file_name\": \"identity.json\"}}");
        fails(() -> Dataset.read(info), "dataset_info.json", "Dataset.named(file");
        Path csv = write("rows.json", "instruction,output\nq,a\n");
        fails(() -> Dataset.read(csv), "begins with \"instruction,output\"", "ends with .csv");
    }

    @Test
    void aFieldThatStandsTwiceIsRefused() throws IOException {
        bad("{\"instruction\": \"q\", \"output\": \"a\", \"output\": \"b\"}", "stands twice", "output", "line 1");
    }

    @Test
    void theFirstTwentyProblemsAreListedAndTheRestCounted() throws IOException {
        String rows = IntStream.range(0, 25)
                .mapToObj(i -> "{\"instruction\": \"q\"}")
                .collect(Collectors.joining(",", "[", "]"));
        Path file = write("many.json", rows);
        DatasetException failure = fails(
                () -> Dataset.read(file),
                "25 problems",
                "row 0: field \"output\"",
                "likewise in rows 1, 2, 3, 4, 5 and 14 more",
                "… and 5 more");
        assertEquals(3, failure.getMessage().lines().count(), "one cause is one line: " + failure.getMessage());
        assertEquals(25, failure.count());
        assertEquals(DatasetException.LISTED, failure.problems().size());
    }

    @Test
    void aSyntaxErrorIsReportedWithTheBadRowsBeforeIt() throws IOException {
        Path file = write("x.json", "[{\"instruction\": \"q\"},\n {\"instruction\" \"q\"}]");
        assertEquals(
                2,
                fails(() -> Dataset.read(file), "row 0: field \"output\"", "line 2, column 17")
                        .count());
    }

    @Test
    void linesStandEachOnTheirOwn() throws IOException {
        Path file = write("x.jsonl", """
            {"instruction": "q", "output": "a"}

            {oops}
            {"instruction": "q"}
            {"instruction": "q", "output": "a"} {"instruction": "q", "output": "a"}
            [1]
            """);
        DatasetException failure = fails(
                () -> Dataset.read(file),
                "x.jsonl, row 1, line 3, column 2: is not valid JSON",
                "x.jsonl, row 2, line 4: field \"output\" is missing",
                "x.jsonl, row 3, line 5, column 37: more than one value",
                "x.jsonl, row 4, line 6: is an array of 1, expected an object");
        assertEquals(4, failure.count());
    }

    @Test
    void aCommaBehindALineIsNamed() throws IOException {
        Path file = write("x.jsonl", "{\"instruction\": \"q\", \"output\": \"a\"},\n");
        fails(() -> Dataset.read(file), "x.jsonl, row 0, line 1, column 36: a comma follows the object");
    }

    @ParameterizedTest
    @ValueSource(strings = {"a.json", "a.jsonl", "a.txt", "a", "a.csv"})
    void theContentDecidesNotTheName(String name) throws IOException {
        String row = "{\"instruction\": \"q\", \"output\": \"a\"}";
        assertEquals(
                2,
                Dataset.read(write(name, " \r\n\t[" + row + "," + row + "]\n")).size());
        assertEquals(2, Dataset.read(write(name, "\n" + row + "\n" + row)).size());
        assertEquals(1, Dataset.read(write(name, "\uFEFF" + row)).size());
    }

    @Test
    void rowNumbersSkipBlankLines() throws IOException {
        String row = "{\"instruction\": \"q\", \"output\": \"a\"}\n";
        List<Example> examples =
                Dataset.read(write("x.jsonl", "\n" + row + "  \n" + row)).examples();
        assertEquals(
                List.of(0L, 1L), examples.stream().map(e -> e.where().row()).toList());
    }

    @Test
    void onlyLineFeedsEndLines() throws IOException {
        String text = "x\u2028y\u0085z";
        Path file = write("x.jsonl", "{\"instruction\": \"" + text + "\",\r \"output\": \"a\"}\n");
        assertEquals(List.of(text, "a"), contents(Dataset.read(file).examples().get(0)));
    }

    @Test
    void linesLongerThanABufferStayWhole() throws IOException {
        StringBuilder file = new StringBuilder();
        for (int length = 8100; length < 8260; length++) {
            file.append("{\"instruction\": \"q\", \"output\": \"")
                    .append("x".repeat(length))
                    .append("\"}\n");
        }
        List<Example> examples = Dataset.read(write("x.jsonl", file.toString())).examples();
        assertEquals(
                IntStream.range(8100, 8260).boxed().toList(),
                examples.stream().map(e -> contents(e).get(1).length()).toList());
    }

    @Test
    void somethingAfterTheArray() throws IOException {
        Path file = write("x.json", "[{\"instruction\": \"q\", \"output\": \"a\"}]\n[]");
        fails(() -> Dataset.read(file), "x.json, line 2, column 1: another value follows");
    }

    @Test
    void deepNestingIsRefusedWithoutOverflowingTheStack() throws IOException {
        bad("{\"x\": " + "[".repeat(100_000) + "]".repeat(100_000) + "}", "bad.json", "limit of 1000 levels");
    }

    @Test
    void everyCharacterOfUnicodeArrives() throws IOException {
        String text = "你好 🙂 é \uFEFF \u0001";
        Path file = write("x.json", "[{\"instruction\": \"你好 🙂 é \uFEFF \\u0001\", \"output\": \"\\ud83d\\ude42\"}]");
        assertEquals(List.of(text, "🙂"), contents(Dataset.read(file).examples().get(0)));
    }

    @ParameterizedTest
    @CsvSource({"C3 28,6", "ED A0 80,6", "C0 80,6", "F0 9F 99,6", "FF,6"})
    void bytesThatAreNotUtf8AreLocated(String hex, int column) throws IOException {
        byte[] start = "\uFEFF[\n\n\"你🙂x".getBytes(StandardCharsets.UTF_8);
        for (int padding : new int[] {0, 8185, 20_000}) {
            byte[] wrong = HexFormat.ofDelimiter(" ").parseHex(hex);
            byte[] bytes = Arrays.copyOf(start, start.length + padding + wrong.length);
            Arrays.fill(bytes, start.length, start.length + padding, (byte) 'y');
            System.arraycopy(wrong, 0, bytes, start.length + padding, wrong.length);
            Path file = write("x.json", bytes);
            fails(
                    () -> Dataset.read(file),
                    "line 3, column " + (column + padding),
                    "is not UTF-8",
                    "save the file as UTF-8");
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "1F 8B 08 00      | is gzip data",
                "50 4B 03 04 14   | is a zip archive",
                "50 41 52 31 15   | is a Parquet file",
                "28 B5 2F FD 24   | is zstd data",
                "FF FE 5B 00      | is UTF-16 text",
                "FE FF 00 5B      | is UTF-16 text",
                "00 01            | begins with the byte 0x00",
                "22 78 22         | begins with \"\"x\"\"",
                "EF BB BF 20 0A   | is empty",
                "1F               | begins with the byte 0x1F"
            })
    void filesThatAreNoJson(String hex, String reason) throws IOException {
        Path file = write("x.json", HexFormat.ofDelimiter(" ").parseHex(hex));
        fails(() -> Dataset.read(file), "x.json", reason);
    }

    @Test
    void missingFilesAndFolders() {
        fails(() -> Dataset.read(folder.resolve("none.json")), "none.json", "no such file", "check the path");
        fails(() -> Dataset.read(folder), folder.toString(), "is a folder");
    }

    @Test
    void aFileOfOtherRowsIsReportedOnce() throws IOException {
        String row = "{\"prompt\": \"q\", \"text\": \"a\"}";
        Path file = write("x.json", "[" + row + "," + row + "," + row + "]");
        DatasetException failure =
                fails(() -> Dataset.read(file), "\"prompt\", \"text\"", "plain text for pre-training");
        assertEquals(1, failure.count());
        assertTrue(failure.getMessage().contains("row 0"), failure.getMessage());
    }
}
