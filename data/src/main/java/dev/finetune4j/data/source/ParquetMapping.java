package dev.finetune4j.data.source;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.parquet.bytes.ByteBufferAllocator;
import org.apache.parquet.io.InputFile;
import org.apache.parquet.io.ParquetFileRange;
import org.apache.parquet.io.SeekableInputStream;

/**
 * A Parquet file that is mapped into memory where a row group is read, which the library would otherwise hold on the heap
 * as a whole: row groups of hundreds of megabytes are usual.
 */
final class ParquetMapping implements InputFile {
    private final Path file;
    private final long length;

    ParquetMapping(Path file, long length) {
        this.file = file;
        this.length = length;
    }

    @Override
    public long getLength() {
        return length;
    }

    @Override
    public SeekableInputStream newStream() throws IOException {
        return new Mapped(FileChannel.open(file, StandardOpenOption.READ));
    }

    /** It closes the channel; what is mapped is freed with the last buffer of it. */
    private static final class Mapped extends SeekableInputStream {
        private final FileChannel channel;

        Mapped(FileChannel channel) {
            this.channel = channel;
        }

        @Override
        public boolean readVectoredAvailable(ByteBufferAllocator allocator) {
            return true;
        }

        @Override
        public void readVectored(List<ParquetFileRange> ranges, ByteBufferAllocator allocator) throws IOException {
            for (ParquetFileRange range : ranges) {
                if (range.getOffset() + range.getLength() > channel.size()) {
                    throw new EOFException("the file ends at " + channel.size() + " within a row group");
                }
                ByteBuffer bytes = channel.map(FileChannel.MapMode.READ_ONLY, range.getOffset(), range.getLength());
                range.setDataReadFuture(CompletableFuture.completedFuture(bytes));
            }
        }

        @Override
        public long getPos() throws IOException {
            return channel.position();
        }

        @Override
        public void seek(long position) throws IOException {
            channel.position(position);
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
        }

        @Override
        public int read(byte[] bytes, int offset, int count) throws IOException {
            return channel.read(ByteBuffer.wrap(bytes, offset, count));
        }

        @Override
        public int read(ByteBuffer bytes) throws IOException {
            return channel.read(bytes);
        }

        @Override
        public void readFully(byte[] bytes) throws IOException {
            readFully(ByteBuffer.wrap(bytes));
        }

        @Override
        public void readFully(byte[] bytes, int offset, int count) throws IOException {
            readFully(ByteBuffer.wrap(bytes, offset, count));
        }

        @Override
        public void readFully(ByteBuffer bytes) throws IOException {
            while (bytes.hasRemaining()) {
                if (channel.read(bytes) < 0) {
                    throw new EOFException("the file ends where " + bytes.remaining() + " more bytes were expected");
                }
            }
        }

        @Override
        public void close() throws IOException {
            channel.close();
        }
    }
}
