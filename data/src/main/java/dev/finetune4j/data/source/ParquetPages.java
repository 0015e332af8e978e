package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.parquet.ParquetReadOptions;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.filter2.columnindex.RowRanges;
import org.apache.parquet.format.PageHeader;
import org.apache.parquet.format.Util;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.hadoop.metadata.ColumnChunkMetaData;
import org.apache.parquet.internal.column.columnindex.OffsetIndex;
import org.apache.parquet.internal.column.columnindex.OffsetIndexBuilder;
import org.apache.parquet.internal.filter2.columnindex.ColumnIndexStore.MissingOffsetIndexException;
import org.apache.parquet.io.ColumnIOFactory;
import org.apache.parquet.io.MessageColumnIO;
import org.apache.parquet.schema.MessageType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Single rows of a Parquet file, each from the pages that hold its values. A page holds up to thousands of rows and is unpacked
 * as a whole, so a row takes milliseconds: this is for the first ones.
 *
 * <p>Thread-safe.
 */
final class ParquetPages implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ParquetPages.class);

    private final ParquetInput input;
    private final ConcurrentLinkedQueue<OneByOne> idle = new ConcurrentLinkedQueue<>();
    private volatile boolean closed;

    ParquetPages(ParquetInput input) {
        this.input = input;
    }

    /**
     * A row. Empty where it cannot be told which page it is in: the file has no <a
     * href="https://parquet.apache.org/docs/file-format/pageindex/">offset index</a>, and its pages of repeated values do not say
     * how many rows they have.
     *
     * @param row within the row group
     * @throws DatasetException if the file is damaged
     */
    Optional<JsonNode> row(int group, int row) throws IOException {
        OneByOne free = idle.poll();
        OneByOne reader = free == null ? new OneByOne(input) : free;
        try {
            return reader.row(group, row);
        } finally {
            idle.add(reader);
            if (closed) {
                close();
            }
        }
    }

    /** Rows may be asked for later on, which makes readers again. */
    @Override
    public void close() {
        closed = true;
        for (OneByOne reader = idle.poll(); reader != null; reader = idle.poll()) {
            try {
                reader.close();
            } catch (IOException e) {
                LOG.debug("{} cannot be closed", input.file(), e);
            }
        }
    }

    /** For one thread at a time. */
    private static final class OneByOne implements AutoCloseable {
        private final Path file;
        private final ParquetFileReader reader;
        private final MessageColumnIO columns;
        private final ParquetTape tape;

        OneByOne(ParquetInput input) throws IOException {
            this.file = input.file();
            this.reader = ParquetRows.checked(file, -1, () -> new Indexed(input));
            MessageType schema = reader.getFileMetaData().getSchema();
            this.columns = ParquetRows.checked(file, -1, () -> new ColumnIOFactory().getColumnIO(schema));
            this.tape = ParquetRows.checked(file, -1, () -> new ParquetTape(schema));
        }

        Optional<JsonNode> row(int group, int row) throws IOException {
            RowRanges one = RowRanges.builder().addSelectedRow(row).build();
            return ParquetRows.checked(file, group, () -> {
                try (PageReadStore pages = reader.readFilteredRowGroup(group, one)) {
                    ByteBuffer found = columns.getRecordReader(pages, tape).read();
                    return Optional.of(ParquetRow.read(found, columns.getType()));
                } catch (MissingOffsetIndexException e) {
                    return Optional.empty();
                }
            });
        }

        @Override
        public void close() throws IOException {
            reader.close();
        }
    }

    /** It makes an offset index where the file has none, from the headers of the pages. */
    private static final class Indexed extends ParquetFileReader {
        Indexed(ParquetInput input) throws IOException {
            super(
                    input,
                    ParquetReadOptions.builder(new PlainParquetConfiguration()).build());
        }

        @Override
        public @Nullable OffsetIndex readOffsetIndex(ColumnChunkMetaData column) throws IOException {
            OffsetIndex stored = super.readOffsetIndex(column);
            if (stored != null) {
                return stored;
            }
            boolean isFlat = getFileMetaData()
                            .getSchema()
                            .getMaxRepetitionLevel(column.getPath().toArray())
                    == 0;
            OffsetIndexBuilder index = OffsetIndexBuilder.getBuilder();
            long at = column.getStartingPos();
            long end = at + column.getTotalSize();
            long rows = 0;
            while (at < end) {
                f.seek(at);
                PageHeader header = Util.readPageHeader(f);
                long next = f.getPos() + header.getCompressed_page_size();
                if (next <= f.getPos() || next > end) {
                    throw new IOException("a page at " + at + " ends at " + next);
                }
                if (header.isSetData_page_header_v2() || header.isSetData_page_header()) {
                    if (!header.isSetData_page_header_v2() && !isFlat) {
                        return null;
                    }
                    index.add(at, (int) (next - at), rows);
                    rows += header.isSetData_page_header_v2()
                            ? header.getData_page_header_v2().getNum_rows()
                            : header.getData_page_header().getNum_values();
                }
                at = next;
            }
            return index.build();
        }
    }
}
