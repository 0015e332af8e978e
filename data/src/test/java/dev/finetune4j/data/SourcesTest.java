package dev.finetune4j.data;

import static dev.finetune4j.data.Fixtures.fails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.List;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Rows from tables, texts, packed files, folders, databases and Parquet. */
class SourcesTest {
    @TempDir
    private Path folder;

    private Path write(String name, String text) throws IOException {
        Path file = folder.resolve(name);
        Files.createDirectories(file.getParent());
        return Files.writeString(file, text);
    }

    private Path pack(String name, String text) throws IOException {
        Path file = folder.resolve(name);
        try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(file))) {
            out.write(text.getBytes(StandardCharsets.UTF_8));
        }
        return file;
    }

    private static List<List<String>> texts(Dataset dataset) {
        return dataset.examples().stream().map(Example::texts).toList();
    }

    @ParameterizedTest
    @ValueSource(strings = {",", ";", "|"})
    void aTableIsReadByTheSeparatorOfItsHeader(String separator) throws IOException {
        String text = "\uFEFFinstruction,input,output\r\n\"q; 1, |\",,\"a \"\"b\"\"\n,c\"\r\n\r\n,,\r\nq2,x,y\r\n";
        Path file = write(
                "x.csv",
                text.replace(",,", separator + separator)
                        .replace("n,i", "n" + separator + "i")
                        .replace("t,o", "t" + separator + "o")
                        .replace("2,x,y", "2" + separator + "x" + separator + "y"));
        Dataset dataset = Dataset.read(file);
        assertEquals(List.of(List.of("q; 1, |", "a \"b\"\n,c"), List.of("q2\nx", "y")), texts(dataset));
        assertEquals(1, dataset.examples().get(1).where().row(), "blank lines and rows do not count");
    }

    @Test
    void tabsSeparateATsv() throws IOException {
        Path file = write("x.tsv", "prompt\tcompletion\nq, 1; 2\ta\n");
        assertEquals(List.of(List.of("q, 1; 2", "a")), texts(Dataset.read(file)));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            quoteCharacter = '`',
            value = {
                "`instruction,output\nq,\"a\nb\n` # row 0, line 2: a text in double quotes is not closed",
                "`instruction,output\nq,a\nq,\"a\"b\"\n` # row 1, line 3: something follows the closing quote",
                "`instruction,output,output\nq,a,b\n` # line 1: the header has the column \"output\" twice",
                "`instruction,output\nq,a,b\n` # row 0, line 2: has 3 cells, but the header has 2",
                "`instruction,output\n` # holds no rows",
                "`instruction,output\nq,\n` # row 0, line 2: field \"output\" is blank",
                "`frage,antwort\nq,a\n` # found \"frage\", \"antwort\""
            })
    void aMistakeInATableIsNamedWithItsLine(String text, String reason) throws IOException {
        Path file = write("bad.csv", text);
        BrokenCase.ours(file, fails(() -> Dataset.read(file), "bad.csv", reason));
    }

    @Test
    void workbooksAndOtherCharacterSetsAreToldApart() throws IOException {
        Path book = Files.write(folder.resolve("x.csv"), new byte[] {'P', 'K', 3, 4, 20});
        fails(() -> Dataset.read(book), "a workbook", "CSV UTF-8");
        Path latin = Files.write(
                folder.resolve("l.csv"), "instruction,output\nq,Grüße\n".getBytes(StandardCharsets.ISO_8859_1));
        fails(() -> Dataset.read(latin), "line 2, column 5", "0xFC is not UTF-8");
    }

    @Test
    void packedFilesAreReadLikeOthers() throws IOException {
        assertEquals(
                1, Dataset.read(pack("a.csv.gz", "instruction,output\nq,a\n")).size());
        assertEquals(
                1,
                Dataset.read(pack("a.jsonl.gz", "{\"instruction\":\"q\",\"output\":\"a\"}\n"))
                        .size());
        assertEquals(
                1,
                Dataset.read(pack("a.json", "[{\"instruction\":\"q\",\"output\":\"a\"}]"))
                        .size());
        assertEquals(List.of(List.of("x\ny")), texts(Dataset.read(pack("a.txt.gz", "x\ny"))));
        Path whole = pack("b.jsonl.gz", "{\"instruction\":\"q\",\"output\":\"a\"}\n".repeat(2000));
        byte[] bytes = Files.readAllBytes(whole);
        Path cut = Files.write(folder.resolve("cut.jsonl.gz"), Arrays.copyOf(bytes, bytes.length / 2));
        BrokenCase.ours(cut, fails(() -> Dataset.read(cut), "cut off or damaged"));
        Path bad = pack("bad.jsonl.gz", "{\"instruction\":\"q\",\"output\":\"a\"}\n\uFFFD{");
        fails(() -> Dataset.read(bad), "row 1, line 2");
    }

    @Test
    void aTextIsOneRowAndALongOneIsCutBehindEmptyLines() throws IOException {
        assertEquals(
                List.of(List.of("[Intro]\n\nla la\n")), texts(Dataset.read(write("song.txt", "[Intro]\n\nla la\n"))));
        String paragraph = ("word ".repeat(30) + "\n").repeat(40) + "\n";
        String text = paragraph.repeat(500);
        List<List<String>> pieces = texts(Dataset.read(write("book.txt", text)));
        assertTrue(pieces.size() >= 3, "pieces " + pieces.size());
        assertEquals(
                text, String.join("", pieces.stream().map(piece -> piece.get(0)).toList()));
        assertTrue(pieces.get(0).get(0).endsWith("\n\n"));
    }

    @Test
    void aFolderGivesItsFilesByName() throws IOException {
        write("notes/b.txt", "second");
        write("notes/a.md", "first");
        write("notes/deep/c.txt", "third");
        write("notes/.hidden.txt", "no");
        Dataset notes = Dataset.read(folder.resolve("notes"));
        assertEquals(List.of(List.of("first"), List.of("second"), List.of("third")), texts(notes));
        write("rows/README.md", "about the rows");
        write("rows/2.csv", "instruction,output\nq2,a2\n");
        write("rows/1.jsonl", "{\"instruction\":\"q1\",\"output\":\"a1\"}");
        assertEquals(List.of(List.of("q1", "a1"), List.of("q2", "a2")), texts(Dataset.read(folder.resolve("rows"))));
        Files.createDirectories(folder.resolve("none"));
        fails(() -> Dataset.read(folder.resolve("none")), "is a folder with no file of rows");
        write("described/dataset_info.json", "{}");
        fails(() -> Dataset.read(folder.resolve("described")), "Dataset.named(folder");
    }

    @Test
    void aQueryGivesRows() throws SQLException {
        try (Connection database = DriverManager.getConnection("jdbc:h2:mem:rows");
                Statement statement = database.createStatement()) {
            statement.execute("create table feedback(id int, prompt varchar, completion clob, label boolean)");
            statement.execute("insert into feedback values (1, 'q1', 'a1', true), (2, 'q2', 'a2', false)");
            try (ResultSet rows = statement.executeQuery("select * from feedback order by id")) {
                Dataset dataset = Dataset.ofQuery(rows);
                assertEquals(List.of(List.of("q1", "a1"), List.of("q2", "a2")), texts(dataset));
                assertEquals(false, ((KtoExample) dataset.examples().get(1)).desirable());
            }
            try (ResultSet rows =
                    statement.executeQuery("select prompt as \"Question\", completion as \"Answer\" from feedback")) {
                DatasetFormat format = DatasetFormat.alpaca()
                        .with(DatasetFormat.Column.PROMPT, "Question")
                        .with(DatasetFormat.Column.RESPONSE, "Answer");
                assertEquals(2, Dataset.ofQuery(rows, format).size());
            }
            try (ResultSet rows = statement.executeQuery("select prompt, null as completion from feedback")) {
                fails(() -> Dataset.ofQuery(rows), "the query's result, row 0", "\"completion\" is null");
            }
            try (ResultSet rows = statement.executeQuery("select * from feedback where id > 7")) {
                fails(() -> Dataset.ofQuery(rows), "holds no rows");
            }
        }
    }

    @Test
    void aParquetFileGivesRows() throws IOException {
        Path file = ParquetWriting.write(folder.resolve("x.parquet"), List.of("q1", "q2"), List.of("a1", "a2"));
        assertEquals(List.of(List.of("q1", "a1"), List.of("q2", "a2")), texts(Dataset.read(file)));
        Path conversations = ParquetWriting.writeMessages(folder.resolve("m.parquet"), "q", "a");
        assertEquals(List.of(List.of("q", "a")), texts(Dataset.read(conversations)));
        byte[] bytes = Files.readAllBytes(file);
        Path cut = Files.write(folder.resolve("cut.parquet"), Arrays.copyOf(bytes, bytes.length - 9));
        BrokenCase.ours(cut, fails(() -> Dataset.read(cut), "is a Parquet file that is cut off or damaged"));
    }
}
