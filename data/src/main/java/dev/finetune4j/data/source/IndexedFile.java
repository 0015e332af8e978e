package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Provenance;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.CharacterCodingException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Objects;
import java.util.zip.ZipException;
import org.jspecify.annotations.Nullable;

/**
 * A file whose rows are read when they are asked for, by their number. Where each begins is found as far as that, in one scan
 * that goes on when later ones are; a packed file, or one that is not of the default file system, is unpacked or copied into a temporary one before.
 *
 * <p>Thread-safe. The file must not be overwritten; it stays open as long as this lives.
 */
public final class IndexedFile implements RowsByNumber {
    /** So many bytes are looked at in one go. */
    private static final int COUNTED = 1 << 16;

    private final Path file;
    private final FileKind kind;
    private final char separator;
    private final FileBytes content;
    private final RowIndex offsets;
    /** The columns of a table, whose header is the first of the offsets. */
    private final @Nullable List<String> header;

    private IndexedFile(Path file, Path bytes, FileStart start) throws IOException {
        this.file = file;
        this.kind = start.kind();
        this.separator = start.separator();
        this.content = new FileBytes(bytes);
        this.offsets = kind == FileKind.TEXT ? pieces(bytes) : rows();
        this.header = kind == FileKind.CSV && isThere(1)
                ? CsvRows.header(file.toString(), separator, Utf8.decode(bytes(0), true))
                : null;
    }

    private RowIndex rows() throws IOException {
        Offsets found = new Offsets();
        return new RowIndex(found, RowScanner.of(content, kind, separator, found));
    }

    private static RowIndex pieces(Path text) throws IOException {
        try (InputStream in = Files.newInputStream(text)) {
            return new RowIndex(TextRows.scan(in));
        }
    }

    /**
     * Opens a file.
     *
     * @throws DatasetException if it cannot be read or holds no row
     */
    public static RowsByNumber open(Path file) {
        SourceFile.requireRegular(file);
        String name = file.toString();
        try {
            FileStart start = FileStart.of(file);
            String refusal = start.refusal();
            if (refusal != null) {
                throw new DatasetException(DatasetProblem.ofFile(name, refusal));
            }
            RowsByNumber rows =
                    start.kind() == FileKind.PARQUET ? ParquetFile.open(file).byNumber() : indexed(file, start);
            if (!rows.has(0)) {
                throw new DatasetException(DatasetProblem.ofFile(name, "holds no rows; training needs at least one"));
            }
            return rows;
        } catch (ZipException | EOFException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            name, "is gzip data that is cut off or damaged; fetch it again or pack it anew"),
                    e);
        } catch (IOException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(name, "cannot be read: " + e + "; check that the file is readable"), e);
        }
    }

    private static IndexedFile indexed(Path file, FileStart start) throws IOException {
        boolean isPacked = FileStart.isGzip(file);
        if (!isPacked && file.getFileSystem().equals(FileSystems.getDefault())) {
            return new IndexedFile(file, file, start);
        }
        try (TemporaryFile temporary = new TemporaryFile()) {
            try (InputStream in = SourceFile.open(file)) {
                Files.copy(in, temporary.path(), StandardCopyOption.REPLACE_EXISTING);
            } catch (ZipException | EOFException e) {
                throw e;
            } catch (IOException e) {
                String done = isPacked ? "unpacked" : "copied";
                throw new DatasetException(
                        DatasetProblem.ofFile(
                                file.toString(),
                                "cannot be " + done + " into a temporary file: " + e + TemporaryFile.REMEDY),
                        e);
            }
            return new IndexedFile(file, temporary.path(), start);
        }
    }

    /** Whether the offsets have such a place. */
    private boolean isThere(int place) {
        try {
            return offsets.has(place);
        } catch (IllegalArgumentException e) {
            throw new DatasetException(DatasetProblem.ofFile(file.toString(), String.valueOf(e.getMessage())), e);
        } catch (IOException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(file.toString(), "cannot be read to its end: " + e.getMessage()), e);
        }
    }

    /** Where a row stands among the offsets, the next of which is its end. */
    private int place(int row) {
        return kind == FileKind.CSV ? row + 1 : row;
    }

    @Override
    public boolean has(int index) {
        return isThere(place(index) + 1);
    }

    @Override
    public int size() {
        isThere(Integer.MAX_VALUE);
        return offsets.count() - place(0) - 1;
    }

    /** The bytes of what stands at a place of the offsets. */
    private byte[] bytes(int place) throws IOException {
        return content.bytes(offsets.get(place), offsets.get(place + 1));
    }

    @Override
    public JsonNode row(int index) {
        Objects.checkIndex(index, has(index) ? index + 1 : 0);
        int place = place(index);
        String name = file.toString();
        Provenance where = new Provenance(name, index);
        try {
            String text = Utf8.decode(bytes(place), place == 0);
            JsonNode row = parsed(text, index, 1, new DatasetProblems());
            if (row != null) {
                return row;
            }
            // Something is wrong: now it is worth to count the lines before.
            DatasetProblems problems = new DatasetProblems();
            parsed(text, index, line(place), problems);
            problems.throwIfAny();
            throw new DatasetException(DatasetProblem.ofRow(where, null, "is empty"));
        } catch (CharacterCodingException e) {
            throw new DatasetException(
                    DatasetProblem.ofRow(
                            where,
                            null,
                            "holds bytes that are not UTF-8; save the file as UTF-8 (it may be Latin-1 or GBK)"),
                    e);
        } catch (IOException e) {
            throw new DatasetException(DatasetProblem.ofRow(where, null, "cannot be read: " + e.getMessage()), e);
        }
    }

    private @Nullable JsonNode parsed(String text, int index, int line, DatasetProblems problems) throws IOException {
        JsonNode[] found = {null};
        RowConsumer keep = (row, number, at) -> {
            found[0] = row;
            return false;
        };
        String name = file.toString();
        switch (kind) {
            case JSON_LINES -> new JsonRows(name, problems, index).readLine(lineIn(text), line, keep);
            case JSON_ARRAY -> new JsonRows(name, problems, index).readItem(text, line, keep);
            case CSV -> new CsvRows(name, separator, problems, header, index).readOne(text, line, keep);
            case TEXT, PARQUET ->
                found[0] = JsonNodeFactory.instance.objectNode().put("text", text);
        }
        return found[0];
    }

    /** A row goes up to the next one, so blank lines may follow it. */
    private static String lineIn(String text) {
        int end = text.indexOf('\n');
        return end < 0 ? text : text.substring(0, end);
    }

    /** The line, counted from 1, in which a row begins. */
    private int line(int place) throws IOException {
        long end = offsets.get(place);
        int line = 1;
        for (long at = 0; at < end; at += COUNTED) {
            for (byte b : content.bytes(at, Math.min(at + COUNTED, end))) {
                line += b == '\n' ? 1 : 0;
            }
        }
        return line;
    }
}
