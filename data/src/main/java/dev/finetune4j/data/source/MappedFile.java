package dev.finetune4j.data.source;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.List;

/**
 * The bytes of a file by their place, mapped into memory in segments. Unlike a channel it is not closed by an interrupt of
 * whoever reads: the file stays readable as long as this lives.
 *
 * <p>Thread-safe. The file must not become shorter.
 */
final class MappedFile {
    private static final int SEGMENT = 1 << 30;

    private final List<ByteBuffer> segments = new ArrayList<>();

    /** Maps all that a channel has now; the channel may be closed afterwards. */
    MappedFile(FileChannel channel) throws IOException {
        long size = channel.size();
        for (long start = 0; start < size; start += SEGMENT) {
            segments.add(channel.map(FileChannel.MapMode.READ_ONLY, start, Math.min(SEGMENT, size - start)));
        }
    }

    /**
     * The bytes from a place on, in an array of the caller's.
     *
     * @throws IOException if the file has become shorter
     */
    byte[] bytes(long start, int count) throws IOException {
        byte[] bytes = new byte[count];
        int done = 0;
        try {
            while (done < count) {
                long at = start + done;
                ByteBuffer segment = segments.get((int) (at / SEGMENT));
                int from = (int) (at % SEGMENT);
                int some = Math.min(count - done, segment.capacity() - from);
                segment.get(from, bytes, done, some);
                done += some;
            }
        } catch (InternalError e) {
            // What a page that is no longer there becomes.
            throw new IOException("it has become shorter since it was opened", e);
        }
        return bytes;
    }
}
