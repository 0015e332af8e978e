package dev.finetune4j.core.io;

import java.io.Closeable;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The right of one writer to a folder, among the threads of this process and, where the file system has locks, among processes.
 * It ends with the process, however that ends. Thread-safe.
 */
public final class FolderClaim implements Closeable {
    private static final Logger LOG = LoggerFactory.getLogger(FolderClaim.class);
    private static final String NAME = ".finetune4j.lock";

    /** A process must not open the file of a lock that it holds, because closing it again would give the lock up. */
    private static final Set<Path> HERE = new HashSet<>();

    private final Path folder;
    private final FileChannel channel;
    private boolean open = true;

    private FolderClaim(Path folder, FileChannel channel) {
        this.folder = folder;
        this.channel = channel;
    }

    /**
     * Claims a folder.
     *
     * @param folder one that exists
     * @return null when somebody else has claimed it
     * @throws IOException when nothing can be written there
     */
    public static @Nullable FolderClaim take(Path folder) throws IOException {
        Path real = folder.toRealPath();
        synchronized (HERE) {
            if (!HERE.add(real)) {
                return null;
            }
            boolean done = false;
            try {
                FolderClaim claim = Uninterrupted.call(() -> lock(real)).orElse(null);
                done = claim != null;
                return claim;
            } finally {
                if (!done) {
                    HERE.remove(real);
                }
            }
        }
    }

    private static Optional<FolderClaim> lock(Path folder) throws IOException {
        FileChannel channel = FileChannel.open(
                folder.resolve(NAME), StandardOpenOption.WRITE, StandardOpenOption.CREATE, LinkOption.NOFOLLOW_LINKS);
        FileLock lock;
        try {
            lock = channel.tryLock();
        } catch (OverlappingFileLockException e) { // another class loader of this process
            lock = null;
        } catch (IOException e) {
            LOG.warn(
                    "{}: its file system has no locks, so other processes must not write there: {}",
                    folder,
                    e.toString());
            return Optional.of(new FolderClaim(folder, channel));
        }
        if (lock == null) {
            channel.close();
            return Optional.empty();
        }
        return Optional.of(new FolderClaim(folder, channel));
    }

    /** Gives the folder up. Closing twice is fine. */
    @Override
    public void close() throws IOException {
        synchronized (HERE) {
            if (open) {
                open = false;
                HERE.remove(folder);
                channel.close();
            }
        }
    }
}
