package dev.finetune4j.data.source;

import java.io.EOFException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;

/**
 * The bytes of a file by their place. Unlike a channel it is not closed by an interrupt of whoever reads; and unlike a map of
 * it into memory, a file that has become shorter is an error here, not a fault that the JVM reports later, to whatever runs
 * then. The file is open as long as this lives, so it may be deleted or replaced (not overwritten) meanwhile.
 *
 * <p>Thread-safe.
 */
public final class FileBytes {
    private static final int LARGEST = Integer.MAX_VALUE - 8;

    /** Closed when nobody can reach it any more; guarded by itself. */
    private final RandomAccessFile file;

    /** @param file of the default file system */
    public FileBytes(Path file) throws IOException {
        this.file = new RandomAccessFile(file.toFile(), "r");
    }

    /**
     * The bytes between two places, in an array of the caller's.
     *
     * @throws IOException if they are more than an array can have, or the file has become shorter
     */
    public byte[] bytes(long start, long end) throws IOException {
        if (end - start > LARGEST) {
            throw new IOException("it has " + (end - start) + " bytes, more than 2 GiB, the limit; split it");
        }
        byte[] bytes = new byte[(int) (end - start)];
        read(start, bytes, 0, bytes.length);
        return bytes;
    }

    /**
     * Reads bytes into an array, from an offset in it on.
     *
     * @throws IOException if the file has become shorter
     */
    void read(long start, byte[] into, int offset, int count) throws IOException {
        synchronized (file) {
            try {
                file.seek(start);
                file.readFully(into, offset, count);
            } catch (EOFException e) {
                throw new IOException(
                        "the file has become shorter since it was opened; write it again and start anew", e);
            }
        }
    }

    /** How many bytes it has now. */
    long length() throws IOException {
        synchronized (file) {
            return file.length();
        }
    }
}
