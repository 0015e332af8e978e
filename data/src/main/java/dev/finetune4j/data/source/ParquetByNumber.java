package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** The rows of a Parquet file by their number. */
final class ParquetByNumber implements RowsByNumber {
    private final Path file;
    private final int size;
    private ParquetRows.@Nullable Cursor cursor;
    private volatile @Nullable ParquetSpool spool;

    ParquetByNumber(Path file, int size) {
        this.file = file;
        this.size = size;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public JsonNode row(int index) {
        ParquetSpool written = spool;
        try {
            return written == null ? inOrder(index) : written.row(index);
        } catch (IOException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(file.toString(), "cannot be read: " + e + "; check that it is readable"), e);
        }
    }

    private synchronized JsonNode inOrder(int index) throws IOException {
        ParquetSpool written = spool;
        if (written == null && index == 0) {
            stop();
            cursor = new ParquetRows.Cursor(file);
        }
        ParquetRows.Cursor reading = cursor;
        if (reading != null && reading.rows() == index) {
            JsonNode row = reading.next();
            if (index == size - 1) {
                stop();
            }
            if (row != null) {
                return row;
            }
        }
        stop();
        if (written == null) {
            written = spooled();
            spool = written;
        }
        return written.row(index);
    }

    private ParquetSpool spooled() {
        try {
            return ParquetSpool.of(file);
        } catch (IOException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            file.toString(), "cannot be unpacked into temporary files: " + e + TemporaryFile.REMEDY),
                    e);
        }
    }

    private void stop() throws IOException {
        if (cursor != null) {
            cursor.close();
            cursor = null;
        }
    }
}
