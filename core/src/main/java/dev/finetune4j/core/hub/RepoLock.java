package dev.finetune4j.core.hub;

import java.io.Closeable;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lets one thread of one process fetch a model, while others wait for what it brings. The system gives the lock up when the process
 * ends, however it ends.
 */
final class RepoLock implements Closeable {
    private static final Logger LOG = LoggerFactory.getLogger(RepoLock.class);
    private static final Duration POLL = Duration.ofMillis(50);

    /** Those of this process, which a file's lock does not keep apart. */
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    private final Path file;
    private final @Nullable FileChannel channel;

    private RepoLock(Path file, @Nullable FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /**
     * Waits for the lock.
     *
     * @param waits told once, when it is not free at once
     */
    static RepoLock take(Path path, Stop stop, Runnable waits) {
        Path file = path.toAbsolutePath().normalize();
        Disk.folder(Disk.parent(file));
        boolean told = false;
        while (true) {
            RepoLock lock = attempt(file);
            if (lock != null) {
                return lock;
            }
            if (!told) {
                told = true;
                waits.run();
            }
            stop.sleep(POLL);
        }
    }

    private static @Nullable RepoLock attempt(Path file) {
        if (!HELD.add(file)) {
            return null;
        }
        RepoLock taken = null;
        try {
            FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            taken = lock(file, channel);
            return taken;
        } catch (IOException e) {
            throw Disk.failure(file, e);
        } finally {
            if (taken == null) {
                HELD.remove(file);
            }
        }
    }

    private static @Nullable RepoLock lock(Path file, FileChannel channel) throws IOException {
        try {
            FileLock lock = channel.tryLock();
            if (lock == null) {
                channel.close();
                return null;
            }
            return new RepoLock(file, channel);
        } catch (IOException e) {
            channel.close();
            LOG.warn(
                    "the file system of {} has no locks ({}); two processes that download one model may both do the work",
                    file,
                    e.getMessage());
            return new RepoLock(file, null);
        }
    }

    @Override
    public void close() throws IOException {
        try {
            if (channel != null) {
                channel.close();
            }
        } finally {
            HELD.remove(file);
        }
    }
}
