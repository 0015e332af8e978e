package dev.finetune4j.core.io;

import java.io.Closeable;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A lock on a file that shows that a process lives: the system gives it up when the process ends, however it ends. This
 * process must not open the file of a lock that it holds, because closing it again would give the lock up.
 */
final class FolderLock implements Closeable {
    static final String NAME = "lock";

    private final FileChannel channel;

    private FolderLock(FileChannel channel) {
        this.channel = channel;
    }

    /**
     * Takes the lock of a folder.
     *
     * @param create whether it is new; otherwise it has to be there
     * @return null when another process holds it, or when it cannot be known whether one does
     * @throws IOException when the file cannot be opened, or is a link or a pipe, which no save has made
     */
    static @Nullable FolderLock take(Path folder, boolean create) throws IOException {
        Path file = folder.resolve(NAME);
        if (Files.exists(file, LinkOption.NOFOLLOW_LINKS) && !Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            throw new IOException(file + " is no file, so no save has made it; delete " + folder);
        }
        return Uninterrupted.<Optional<FolderLock>>call(() -> {
                    FileChannel channel = create
                            ? FileChannel.open(file, StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW)
                            : FileChannel.open(file, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
                    FileLock lock = null;
                    try {
                        lock = channel.tryLock();
                    } catch (IOException | OverlappingFileLockException e) {
                        // A file system without locks, or another class loader of this process: taken to be alive.
                        lock = null;
                    }
                    if (lock == null && !create) {
                        channel.close();
                        return Optional.empty();
                    }
                    return Optional.of(new FolderLock(channel));
                })
                .orElse(null);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
