package dev.finetune4j.core.hub;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * A file that has come in part, with the hash of what is there. It survives the process: {@link #open} goes on with what an
 * earlier one has left. Used by one thread at a time, none of which may be interrupted.
 */
final class PartialFile implements Closeable {
    private static final int BUFFER = 1 << 20;

    private final Path path;
    private final RepoFile file;
    private final LongConsumer grown;
    private final FileChannel channel;
    private @Nullable MessageDigest digest;
    private long length;

    private PartialFile(Path path, RepoFile file, LongConsumer grown, FileChannel channel) {
        this.path = path;
        this.file = file;
        this.grown = grown;
        this.channel = channel;
        this.digest = newDigest();
    }

    /**
     * @param path of the partial file; made when it is not there
     * @param file that comes
     * @param grown told by how many bytes it has grown, or shrunk
     */
    static PartialFile open(Path path, RepoFile file, LongConsumer grown) throws IOException {
        FileChannel channel =
                FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        PartialFile partial = new PartialFile(path, file, grown, channel);
        try {
            partial.readBack();
            return partial;
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private void readBack() throws IOException {
        if (file.size() >= 0 && channel.size() > file.size()) {
            channel.truncate(0);
        }
        ByteBuffer buffer = ByteBuffer.allocate(BUFFER);
        channel.position(0);
        while (channel.read(buffer) >= 0) {
            buffer.flip();
            count(buffer.remaining());
            hash(buffer);
            buffer.clear();
        }
    }

    Path path() {
        return path;
    }

    long length() {
        return length;
    }

    /** Whether an answer that has come to its end has brought the whole file. */
    boolean isEnded() {
        return file.size() < 0 || length == file.size();
    }

    /** Whether as many bytes are there as the file has. */
    boolean isWhole() {
        return file.size() >= 0 && length == file.size();
    }

    /**
     * @throws RestartException when the file becomes larger than the hub has said
     * @throws HubException when it cannot be written
     */
    void write(ByteBuffer bytes) throws IOException {
        if (file.size() >= 0 && length + bytes.remaining() > file.size()) {
            throw new RestartException("more than the " + file.size() + " bytes of " + file.path() + " came");
        }
        int added = bytes.remaining();
        ByteBuffer hashed = bytes.duplicate();
        try {
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
        } catch (IOException e) {
            throw Disk.failure(path, e);
        }
        hash(hashed);
        count(added);
    }

    /** Begins from nothing. */
    void restart() throws IOException {
        channel.truncate(0);
        channel.position(0);
        digest = newDigest();
        count(-length);
    }

    /** Whether the content has the hash that the hub states; true when it states none. To be asked once, at the end. */
    boolean isAsStated() {
        Checksum stated = file.checksum();
        return stated == null
                || digest == null
                || HexFormat.of().formatHex(digest.digest()).equals(stated.hex());
    }

    /** Brings the content onto the disk, so that no later move can get there before it. */
    void finish() throws IOException {
        channel.force(true);
        channel.close();
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    private void count(long change) {
        length += change;
        grown.accept(change);
    }

    private void hash(ByteBuffer bytes) {
        if (digest != null) {
            digest.update(bytes);
        }
    }

    private @Nullable MessageDigest newDigest() {
        return file.checksum() == null ? null : file.checksum().digest(file.size());
    }

    /** What has come is not of this file, so it is fetched from its beginning. */
    static final class RestartException extends IOException {
        private static final long serialVersionUID = 1L;

        RestartException(String message) {
            super(message);
        }
    }
}
