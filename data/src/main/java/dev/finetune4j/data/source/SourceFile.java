package dev.finetune4j.data.source;

import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * A file of rows: <a href="https://www.rfc-editor.org/rfc/rfc8259">JSON</a> array, <a href="https://jsonlines.org">JSON
 * lines</a>, <a href="https://www.rfc-editor.org/rfc/rfc4180">CSV</a> or TSV, plain text or Parquet; each but the last
 * also packed with gzip. It is opened for each reading, row by row.
 */
public final class SourceFile {
    private final Path file;
    private final DatasetProblems problems;

    /**
     * A file, which is looked at when it is read.
     *
     * @param problems takes what is wrong with the file, and is thrown at its end with what the consumer has put there
     */
    public SourceFile(Path file, DatasetProblems problems) {
        this.file = file;
        this.problems = problems;
    }

    /**
     * Gives all rows to a consumer, or as many as it wants.
     *
     * @throws DatasetException if the file cannot be read or holds no row, or anything is wrong with one of its rows
     */
    public void read(RowConsumer consumer) {
        requireRegular(file);
        long[] rows = {0};
        try {
            readRows((row, index, line) -> {
                rows[0] = index + 1;
                return consumer.accept(row, index, line);
            });
        } catch (CharacterCodingException e) {
            problems.add(Utf8.locate(file), e);
        } catch (ZipException | EOFException e) {
            problems.add(ofFile("is gzip data that is cut off or damaged; fetch it again or pack it anew"), e);
        } catch (IOException e) {
            problems.add(ofFile("cannot be read: " + e + "; check that the file is readable"), e);
        }
        problems.throwIfAny();
        if (rows[0] == 0) {
            throw new DatasetException(ofFile("holds no rows; training needs at least one"));
        }
    }

    static void requireRegular(Path file) {
        String name = file.toString();
        if (!Files.exists(file)) {
            throw new DatasetException(DatasetProblem.ofFile(
                    name,
                    "there is no such file; check the path, which is relative to "
                            + Path.of("").toAbsolutePath() + " unless it begins at the root"));
        }
        if (Files.isDirectory(file)) {
            throw new DatasetException(DatasetProblem.ofFile(name, "is a folder, expected a file of rows"));
        }
        if (!Files.isRegularFile(file)) {
            throw new DatasetException(DatasetProblem.ofFile(
                    name,
                    "is a pipe or device, expected a regular file, which is read twice; write the rows to a file"
                            + " first"));
        }
    }

    private void readRows(RowConsumer consumer) throws IOException {
        FileStart start = FileStart.of(file);
        String refusal = start.refusal();
        if (refusal != null) {
            problems.add(ofFile(refusal));
            return;
        }
        if (start.kind() == FileKind.PARQUET) {
            ParquetFile.open(file).read(consumer);
            return;
        }
        String name = file.toString();
        if (start.kind() == FileKind.TEXT) {
            try (InputStream in = open(file)) {
                TextRows.read(in, consumer);
            }
            return;
        }
        try (InputStream in = open(file);
                Reader reader = Utf8.reader(in)) {
            switch (start.kind()) {
                case JSON_ARRAY -> new JsonRows(name, problems).readArray(reader, consumer);
                case JSON_LINES -> new JsonRows(name, problems).readLines(new LineReader(reader), consumer);
                case CSV -> new CsvRows(name, start.separator(), problems).read(reader, consumer);
                case TEXT, PARQUET -> throw new AssertionError("read above");
            }
        }
    }

    /**
     * Gives all rows of JSON that is no file to a consumer.
     *
     * @param name what errors call it
     * @param problems takes what is wrong with it
     * @throws IOException from the stream
     */
    public static void readJson(InputStream in, String name, DatasetProblems problems, RowConsumer consumer)
            throws IOException {
        Reader reader = Utf8.reader(in);
        reader.mark(1);
        int first = reader.read();
        reader.reset();
        JsonRows rows = new JsonRows(name, problems);
        if (first == '[') {
            rows.readArray(reader, consumer);
        } else {
            rows.readLines(new LineReader(reader), consumer);
        }
    }

    /** The bytes of a file, unpacked if it is packed. */
    static InputStream open(Path file) throws IOException {
        InputStream in = Files.newInputStream(file);
        try {
            return FileStart.isGzip(file) ? new GZIPInputStream(in, 1 << 16) : in;
        } catch (IOException | RuntimeException e) {
            in.close();
            throw e;
        }
    }

    private DatasetProblem ofFile(String text) {
        return DatasetProblem.ofFile(file.toString(), text);
    }
}
