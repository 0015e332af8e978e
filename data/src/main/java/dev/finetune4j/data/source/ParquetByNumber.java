package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.convert.GroupRecordConverter;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.io.ColumnIOFactory;
import org.apache.parquet.io.MessageColumnIO;
import org.apache.parquet.io.RecordReader;
import org.apache.parquet.schema.MessageType;
import org.jspecify.annotations.Nullable;

/** The rows of a Parquet file by their number. */
final class ParquetByNumber implements RowsByNumber {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path file;
    private final int size;
    private @Nullable Cursor cursor;
    private @Nullable RowsByNumber spooled;

    ParquetByNumber(Path file, int size) {
        this.file = file;
        this.size = size;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public synchronized JsonNode row(int index) {
        try {
            if (spooled == null && index == 0) {
                restart();
            }
            if (cursor != null && cursor.next == index) {
                return cursor.read();
            }
            return spool().row(index);
        } catch (IOException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            file.toString(), "is a Parquet file that is cut off or damaged; fetch it again"),
                    e);
        }
    }

    private void restart() throws IOException {
        if (cursor != null) {
            cursor.reader.close();
        }
        cursor = new Cursor();
    }

    private RowsByNumber spool() throws IOException {
        if (spooled == null) {
            Path lines = IndexedFile.temporary();
            try (BufferedWriter out = Files.newBufferedWriter(lines)) {
                new ParquetRows(file).read((row, index, line) -> {
                    try {
                        out.write(JSON.writeValueAsString(row));
                        out.write('\n');
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                    return true;
                });
            }
            spooled = IndexedFile.open(lines);
        }
        return spooled;
    }

    /** Reads one row after the other; it is open until the last. */
    private final class Cursor {
        private final ParquetFileReader reader = ParquetRows.open(file);
        private final MessageType schema = reader.getFileMetaData().getSchema();
        private final MessageColumnIO columns = new ColumnIOFactory().getColumnIO(schema);
        private @Nullable RecordReader<Group> records;
        private long left;
        private int next;

        Cursor() throws IOException {}

        JsonNode read() throws IOException {
            while (left == 0) {
                PageReadStore pages = reader.readNextRowGroup();
                left = pages.getRowCount();
                records = columns.getRecordReader(pages, new GroupRecordConverter(schema));
            }
            left--;
            next++;
            JsonNode row = ParquetRows.object(Objects.requireNonNull(records).read(), schema);
            if (next == size) {
                reader.close();
                cursor = null;
            }
            return row;
        }
    }
}
