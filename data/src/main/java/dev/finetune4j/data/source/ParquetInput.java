package dev.finetune4j.data.source;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.apache.parquet.io.DelegatingSeekableInputStream;
import org.apache.parquet.io.InputFile;
import org.apache.parquet.io.SeekableInputStream;

/**
 * The bytes of a Parquet file by their place, for the library that reads it. They are never mapped into memory, where a file that
 * becomes shorter is a fault of the process; see {@link FileBytes}.
 *
 * <p>Thread-safe; a stream of it is not.
 *
 * @param file what errors name
 */
record ParquetInput(Path file, FileBytes content, long length) implements InputFile {
    /** Opens a file; one that is not of the default file system is copied into a temporary one. */
    static ParquetInput of(Path file) throws IOException {
        if (file.getFileSystem().equals(FileSystems.getDefault())) {
            return of(file, file);
        }
        try (TemporaryFile temporary = new TemporaryFile()) {
            Files.copy(file, temporary.path(), StandardCopyOption.REPLACE_EXISTING);
            return of(file, temporary.path());
        }
    }

    private static ParquetInput of(Path file, Path bytes) throws IOException {
        FileBytes content = new FileBytes(bytes);
        return new ParquetInput(file, content, content.length());
    }

    @Override
    public long getLength() {
        return length;
    }

    @Override
    public SeekableInputStream newStream() {
        Bytes bytes = new Bytes(0);
        return new DelegatingSeekableInputStream(bytes) {
            @Override
            public long getPos() {
                return bytes.at;
            }

            @Override
            public void seek(long position) {
                bytes.at = position;
            }
        };
    }

    /** What stands from a place on. */
    InputStream from(long place) {
        return new Bytes(place);
    }

    private final class Bytes extends InputStream {
        private long at;

        Bytes(long at) {
            this.at = at;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
        }

        @Override
        public int read(byte[] into, int offset, int count) throws IOException {
            if (at < 0) {
                throw new EOFException("there is no place " + at);
            }
            int some = (int) Math.min(count, length - at);
            if (some <= 0) {
                return count == 0 ? 0 : -1;
            }
            content.read(at, into, offset, some);
            at += some;
            return some;
        }
    }
}
