package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.json.JsonFile;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Ends the transactions of processes that have ended, and keeps those apart that are under way. Whether a process lives, its
 * lock says; of those of this process a list does, because a process must not touch its own locks.
 */
final class FolderRecovery {
    private static final Logger LOG = LoggerFactory.getLogger(FolderRecovery.class);
    private static final long PATIENCE_NANOS = 30_000_000_000L;
    private static final long GLANCE_NANOS = 500_000_000L;
    private static final long PAUSE_NANOS = 2_000_000L;
    private static final Set<String> LIVE = new HashSet<>();

    private FolderRecovery() {}

    static void live(String id) {
        synchronized (LIVE) {
            LIVE.add(id);
        }
    }

    static void ended(String id) {
        synchronized (LIVE) {
            LIVE.remove(id);
        }
    }

    /** Makes a staged folder the decided one, once there is no other. */
    static void moveAlone(Path folder, Path staging, Path commit) throws IOException {
        long start = System.nanoTime();
        while (true) {
            settle(folder);
            synchronized (LIVE) {
                if (!Files.exists(commit, LinkOption.NOFOLLOW_LINKS)) {
                    try {
                        Disk.move(staging, commit);
                        return;
                    } catch (IOException e) {
                        if (!Files.exists(commit, LinkOption.NOFOLLOW_LINKS)) {
                            throw e; // not because another process was quicker
                        }
                    }
                }
            }
            waitFor(commit, start);
        }
    }

    static void settle(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return;
        }
        Path commit = folder.resolve(FolderTransaction.COMMIT);
        long start = System.nanoTime();
        while (Files.exists(commit, LinkOption.NOFOLLOW_LINKS) && !completed(folder, commit)) {
            waitFor(commit, start);
        }
        for (Path left : unfinished(folder)) {
            synchronized (LIVE) {
                sweep(left);
            }
        }
    }

    private static void waitFor(Path commit, long start) throws IOException {
        long waited = System.nanoTime() - start;
        Path manifest = commit.resolve(PendingCommit.MANIFEST);
        if (waited > GLANCE_NANOS && isThere(commit) && !isThere(manifest)) {
            // It came with its manifest or it is not ours: nobody will finish this.
            throw PendingCommit.damaged(manifest, "it is missing");
        }
        if (waited > PATIENCE_NANOS) {
            throw new IOException(
                    commit + " is a save that is not finished: the process that began it still runs, or its"
                            + " files cannot be moved from here. End that process, or open the folder once with the right to"
                            + " write to it");
        }
        boolean interrupted = Thread.interrupted(); // or there would be no pause
        LockSupport.parkNanos(PAUSE_NANOS);
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Completes a decided replacement whose process has ended; false when it lives or something has changed meanwhile. */
    private static boolean completed(Path folder, Path commit) throws IOException {
        synchronized (LIVE) {
            String id = id(commit);
            if (id == null || LIVE.contains(id)) {
                return false;
            }
            if (Files.isSymbolicLink(commit)) {
                throw PendingCommit.damaged(commit.resolve(PendingCommit.MANIFEST), commit + " is a link");
            }
            // A copy may lack the empty file of the lock; nobody can hold it then.
            boolean unlocked = !isThere(commit.resolve(FolderLock.NAME));
            try (FolderLock lock = FolderLock.take(commit, unlocked)) {
                if (lock == null || !id.equals(id(commit))) {
                    return false;
                }
                LOG.info("{}: a save that was broken off is completed", folder);
                PendingCommit.read(folder, commit).complete(folder, commit);
                Path done = folder.resolve(FolderTransaction.PREFIX + id + ".tmp");
                Disk.move(commit, done);
                delete(done);
                return true;
            } catch (FileAlreadyExistsException e) {
                return false; // another process was quicker to lock it
            } catch (NoSuchFileException e) {
                if (Files.exists(commit.resolve(FolderLock.NAME)) || !Files.exists(commit)) {
                    return false;
                }
                throw e;
            }
        }
    }

    private static boolean isThere(Path file) {
        return Files.exists(file, LinkOption.NOFOLLOW_LINKS);
    }

    private static @Nullable String id(Path commit) {
        Path manifest = commit.resolve(PendingCommit.MANIFEST);
        try {
            ObjectNode root = JsonFile.object(manifest);
            return root.path("id").asText();
        } catch (ModelFileException e) {
            if (Files.exists(manifest)) {
                throw e;
            }
            return null;
        }
    }

    private static List<Path> unfinished(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(entry -> {
                        String name = folder.relativize(entry).toString();
                        return name.startsWith(FolderTransaction.PREFIX) && name.endsWith(".tmp");
                    })
                    .toList();
        }
    }

    /** Deletes what a process that ended has begun; what cannot be deleted here does no harm. */
    private static void sweep(Path staging) {
        String name = String.valueOf(staging.getFileName());
        String id = name.substring(FolderTransaction.PREFIX.length(), name.length() - ".tmp".length());
        if (LIVE.contains(id) || !Files.isDirectory(staging, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        try {
            if (!Files.exists(staging.resolve(FolderLock.NAME))) {
                if (FolderTransaction.isEmpty(staging)) {
                    Files.deleteIfExists(staging);
                }
                return;
            }
            try (FolderLock lock = FolderLock.take(staging, false)) {
                if (lock != null) {
                    delete(staging);
                }
            }
        } catch (IOException e) {
            LOG.debug("{} is left behind: {}", staging, e.toString());
        }
    }

    /** Deletes a staged folder, its lock last, so that what is left of it can be told to be nobody's. */
    static void delete(Path staging) throws IOException {
        if (!Files.isDirectory(staging, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        List<Path> all;
        try (Stream<Path> entries = Files.walk(staging)) {
            all = new java.util.ArrayList<>(entries.toList());
        }
        Path lock = staging.resolve(FolderLock.NAME);
        all.remove(lock);
        all.remove(staging);
        for (int i = all.size() - 1; i >= 0; i--) {
            Disk.delete(all.get(i));
        }
        Disk.delete(lock);
        Disk.delete(staging);
    }
}
