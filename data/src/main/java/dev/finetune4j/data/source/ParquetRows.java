package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.Objects;
import org.apache.parquet.ParquetReadOptions;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.hadoop.metadata.BlockMetaData;
import org.apache.parquet.io.ColumnIOFactory;
import org.apache.parquet.io.MessageColumnIO;
import org.apache.parquet.io.RecordReader;
import org.apache.parquet.schema.MessageType;
import org.jspecify.annotations.Nullable;

/** The rows of a <a href="https://parquet.apache.org/docs/file-format/">Parquet</a> file. */
final class ParquetRows implements ParquetFile {
    private final ParquetInput input;

    ParquetRows(ParquetInput input) {
        this.input = input;
    }

    @Override
    public void read(RowConsumer consumer) throws IOException {
        try (Cursor cursor = new Cursor(input)) {
            for (JsonNode row = cursor.next(); row != null; row = cursor.next()) {
                if (!consumer.accept(row, cursor.rows() - 1, null)) {
                    return;
                }
            }
        }
    }

    @Override
    public RowsByNumber byNumber() throws IOException {
        try (Cursor cursor = new Cursor(input)) {
            return new ParquetByNumber(input, new RowGroups(cursor.groupSizes()));
        } catch (ArithmeticException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            input.file().toString(), "has more than 2^31 rows, the limit of a data set; split it"),
                    e);
        }
    }

    /** Something that the library reads. */
    interface Reading<T> {
        /** Reads it. */
        T read() throws IOException;
    }

    /**
     * What is read.
     *
     * @param group the row group in which it is; -1 outside of them
     * @throws DatasetException if the file is damaged, which the library reports by any exception
     */
    static <T> T checked(Path file, int group, Reading<T> reading) throws IOException {
        try {
            return reading.read();
        } catch (FileSystemException | FileNotFoundException | ClosedChannelException e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            throw damaged(file, group, e);
        }
    }

    private static DatasetException damaged(Path file, int group, Throwable e) {
        return new DatasetException(
                DatasetProblem.ofFile(
                        file.toString(),
                        "is a Parquet file that is cut off or damaged" + (group < 0 ? "" : " in row group " + group)
                                + "; fetch it again"),
                e);
    }

    /** Reads one row after the other. */
    static final class Cursor implements AutoCloseable {
        private final Path file;
        private final ParquetInput input;
        private final ParquetReadOptions options =
                ParquetReadOptions.builder(new PlainParquetConfiguration()).build();
        private final ParquetFileReader reader;
        private final MessageType schema;
        private final MessageColumnIO columns;
        private final ParquetTape tape;
        private @Nullable RecordReader<ByteBuffer> records;
        private int group = -1;
        private long left;
        private long rows;

        /** @throws DatasetException if the file is damaged */
        Cursor(ParquetInput input) throws IOException {
            this.file = input.file();
            this.input = input;
            this.reader = checked(file, -1, () -> ParquetFileReader.open(input, options));
            this.schema = reader.getFileMetaData().getSchema();
            this.columns = checked(file, -1, () -> new ColumnIOFactory().getColumnIO(schema));
            this.tape = checked(file, -1, () -> new ParquetTape(schema));
        }

        /** How many rows each row group has. */
        long[] groupSizes() {
            return reader.getRowGroups().stream()
                    .mapToLong(BlockMetaData::getRowCount)
                    .toArray();
        }

        /** How many bytes all rows have at least that are not packed. */
        long unpackedBytes() {
            return reader.getRowGroups().stream()
                    .mapToLong(BlockMetaData::getTotalByteSize)
                    .sum();
        }

        MessageType schema() {
            return schema;
        }

        /** How many rows were read. */
        long rows() {
            return rows;
        }

        /** The next row, or null after the last. */
        @Nullable
        JsonNode next() throws IOException {
            ByteBuffer row = nextTape();
            return row == null ? null : ParquetRow.read(row, schema);
        }

        private @Nullable ByteBuffer nextTape() throws IOException {
            ByteBuffer row = nextOfGroup();
            for (int next = group + 1;
                    row == null && next < reader.getRowGroups().size();
                    next++) {
                enter(next);
                row = nextOfGroup();
            }
            return row;
        }

        /**
         * Goes to the beginning of a row group.
         *
         * @throws DatasetException if the file is damaged
         */
        void enter(int number) throws IOException {
            group = number;
            PageReadStore pages =
                    new ParquetColumns(input, reader.getRowGroups().get(number), options.getCodecFactory());
            left = pages.getRowCount();
            records = left == 0 ? null : checked(file, group, () -> columns.getRecordReader(pages, tape));
        }

        /**
         * The next row of the row group as {@link ParquetTape} writes it, up to the one after it; null after the last.
         *
         * @throws DatasetException if the file is damaged
         */
        @Nullable
        ByteBuffer nextOfGroup() {
            if (left == 0) {
                return null;
            }
            try {
                ByteBuffer row = Objects.requireNonNull(records).read();
                left--;
                rows++;
                return row;
            } catch (RuntimeException e) { // The library reports damage by any of them.
                throw damaged(file, group, e);
            }
        }

        @Override
        public void close() throws IOException {
            reader.close();
        }
    }
}
