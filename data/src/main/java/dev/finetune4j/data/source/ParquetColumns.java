package dev.finetune4j.data.source;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import org.apache.parquet.bytes.BytesInput;
import org.apache.parquet.column.ColumnDescriptor;
import org.apache.parquet.column.Encoding;
import org.apache.parquet.column.page.DataPage;
import org.apache.parquet.column.page.DataPageV1;
import org.apache.parquet.column.page.DataPageV2;
import org.apache.parquet.column.page.DictionaryPage;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.column.page.PageReader;
import org.apache.parquet.compression.CompressionCodecFactory;
import org.apache.parquet.compression.CompressionCodecFactory.BytesInputDecompressor;
import org.apache.parquet.format.DataPageHeader;
import org.apache.parquet.format.DataPageHeaderV2;
import org.apache.parquet.format.PageHeader;
import org.apache.parquet.format.Util;
import org.apache.parquet.hadoop.metadata.BlockMetaData;
import org.apache.parquet.hadoop.metadata.ColumnChunkMetaData;
import org.jspecify.annotations.Nullable;

/**
 * The columns of a row group, page by page: each is read from the file when its turn comes. The library reads a row group as a
 * whole, which may be hundreds of megabytes; so there is one page of each column in memory.
 *
 * <p>For one thread.
 */
final class ParquetColumns implements PageReadStore {
    private final ParquetInput input;
    private final BlockMetaData group;
    private final CompressionCodecFactory codecs;

    ParquetColumns(ParquetInput input, BlockMetaData group, CompressionCodecFactory codecs) {
        this.input = input;
        this.group = group;
        this.codecs = codecs;
    }

    @Override
    public long getRowCount() {
        return group.getRowCount();
    }

    @Override
    public PageReader getPageReader(ColumnDescriptor column) {
        String path = String.join(".", column.getPath());
        for (ColumnChunkMetaData chunk : group.getColumns()) {
            if (chunk.getPath().toDotString().equals(path)) {
                return new Pages(input, chunk, codecs.getDecompressor(chunk.getCodec()));
            }
        }
        throw new IllegalArgumentException("the row group has no column " + path);
    }

    /** The pages of a column one after the other. */
    private static final class Pages implements PageReader {
        private final InputStream in;
        private final long most;
        private final BytesInputDecompressor codec;
        private final long values;
        private long given;
        /** A header that was read before its turn. */
        private @Nullable PageHeader ahead;

        Pages(ParquetInput input, ColumnChunkMetaData chunk, BytesInputDecompressor codec) {
            this.in = new BufferedInputStream(input.from(chunk.getStartingPos()));
            this.most = input.length();
            this.codec = codec;
            this.values = chunk.getValueCount();
        }

        @Override
        public long getTotalValueCount() {
            return values;
        }

        @Override
        public @Nullable DictionaryPage readDictionaryPage() {
            try {
                PageHeader header = Util.readPageHeader(in);
                if (!header.isSetDictionary_page_header()) {
                    ahead = header;
                    return null;
                }
                return new DictionaryPage(
                        unpacked(header),
                        header.getDictionary_page_header().getNum_values(),
                        encoding(header.getDictionary_page_header().getEncoding()));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public @Nullable DataPage readPage() {
            try {
                while (given < values) {
                    PageHeader header = ahead == null ? Util.readPageHeader(in) : ahead;
                    ahead = null;
                    if (header.isSetData_page_header()) {
                        return page(header, header.getData_page_header());
                    }
                    if (header.isSetData_page_header_v2()) {
                        return page(header, header.getData_page_header_v2());
                    }
                    bytes(header.getCompressed_page_size());
                }
                return null;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private DataPage page(PageHeader header, DataPageHeader data) throws IOException {
            given += data.getNum_values();
            return new DataPageV1(
                    unpacked(header),
                    data.getNum_values(),
                    header.getUncompressed_page_size(),
                    null,
                    encoding(data.getRepetition_level_encoding()),
                    encoding(data.getDefinition_level_encoding()),
                    encoding(data.getEncoding()));
        }

        /** The levels stand in front of the values, and are not packed. */
        private DataPage page(PageHeader header, DataPageHeaderV2 data) throws IOException {
            given += data.getNum_values();
            byte[] bytes = bytes(header.getCompressed_page_size());
            int repetition = data.getRepetition_levels_byte_length();
            int levels = repetition + data.getDefinition_levels_byte_length();
            BytesInput packed = BytesInput.from(bytes, levels, bytes.length - levels);
            int length = header.getUncompressed_page_size() - levels;
            boolean isPacked = data.isIs_compressed() && bytes.length > levels;
            return DataPageV2.uncompressed(
                    data.getNum_rows(),
                    data.getNum_nulls(),
                    data.getNum_values(),
                    BytesInput.from(bytes, 0, repetition),
                    BytesInput.from(bytes, repetition, levels - repetition),
                    encoding(data.getEncoding()),
                    isPacked ? codec.decompress(packed, length) : packed,
                    null);
        }

        private BytesInput unpacked(PageHeader header) throws IOException {
            return codec.decompress(
                    BytesInput.from(bytes(header.getCompressed_page_size())), header.getUncompressed_page_size());
        }

        private byte[] bytes(int count) throws IOException {
            if (count < 0 || count > most) {
                throw new IOException("a page of " + count + " bytes");
            }
            byte[] bytes = new byte[count];
            if (in.readNBytes(bytes, 0, count) < count) {
                throw new EOFException("the file ends within a page of " + count + " bytes");
            }
            return bytes;
        }

        private static Encoding encoding(org.apache.parquet.format.Encoding stored) {
            return Encoding.valueOf(stored.name());
        }
    }
}
