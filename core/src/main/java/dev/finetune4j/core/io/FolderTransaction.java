package dev.finetune4j.core.io;

import dev.finetune4j.core.cache.Sha256;
import dev.finetune4j.core.json.JsonFile;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Replaces the files of a model or an adapter in a folder as a whole or not at all.
 *
 * <p>Everything is written, and reaches the disk, in a hidden folder inside the target, so no right on the folder above is
 * needed and links and mount points do not matter. One move of that folder then decides: before it the old files count, after
 * it the new ones, whatever happens to the process. The decided files are moved to their places, {@code model.safetensors}
 * or whatever else loaders look for first last of all; it was taken away before anything else, so a program that knows
 * nothing of this finds, for the few moves in between, no weights. When a process ends there, {@link #settle} makes the
 * rest of the moves; opening a model or an adapter calls it.
 *
 * <p>What does not belong to a model or an adapter stays in the folder as it was, such as notes; so does a README or another
 * file that somebody has changed since it was written. Several processes may write or read one folder at a time: the last
 * one to finish wins. One thread at a time uses a transaction.
 */
public final class FolderTransaction implements Closeable {
    /** What is replaced. */
    public enum Kind {
        /** The weights of a model alone. */
        WEIGHTS,
        /** A whole model: weights, configuration, tokenizer, chat templates; an adapter that was there goes, too. */
        MODEL,
        /** An adapter and the tokenizer beside it. */
        ADAPTER
    }

    /** The file that says what a folder holds and which files were written. */
    public static final String RECORD = "finetune4j.json";

    static final String PREFIX = ".finetune4j-";
    static final String COMMIT = PREFIX + "commit";

    private static final Logger LOG = LoggerFactory.getLogger(FolderTransaction.class);

    private final Path folder;
    private final Kind kind;
    private final String id = UUID.randomUUID().toString();
    private final Path staging;
    private final List<Path> made = new ArrayList<>();
    private final Map<String, String> hashes = new LinkedHashMap<>();
    private @Nullable FolderLock lock;
    private boolean committed;
    private boolean undecided;

    private FolderTransaction(Path folder, Kind kind) {
        this.folder = folder;
        this.kind = kind;
        this.staging = folder.resolve(PREFIX + id + ".tmp");
    }

    /**
     * Begins to replace.
     *
     * @param folder made if absent, and removed again if nothing is committed
     * @throws IOException when it is no folder, cannot be made, or cannot be written to
     */
    public static FolderTransaction begin(Path folder, Kind kind) throws IOException {
        FolderTransaction begun = new FolderTransaction(folder.toAbsolutePath(), kind);
        FolderRecovery.live(begun.id);
        boolean done = false;
        try {
            begun.prepare();
            done = true;
            return begun;
        } finally {
            if (!done) {
                begun.close();
            }
        }
    }

    /**
     * Completes what a process that ended has left undone in a folder, so that it holds the old files or the new ones.
     *
     * @param folder may be absent
     * @throws IOException when that is not possible, such as for lack of rights
     */
    public static void settle(Path folder) throws IOException {
        FolderRecovery.settle(folder.toAbsolutePath());
    }

    private void prepare() throws IOException {
        createFolders(folder);
        settle(folder);
        Disk.createFolder(staging);
        lock = FolderLock.take(staging, true);
        Disk.createFolder(files());
    }

    private void createFolders(Path wanted) throws IOException {
        if (Files.isDirectory(wanted)) {
            return;
        }
        if (Files.exists(wanted, LinkOption.NOFOLLOW_LINKS)) {
            throw new FileAlreadyExistsException(wanted + " is no folder");
        }
        Path parent = wanted.getParent();
        if (parent != null) {
            createFolders(parent);
        }
        try {
            Disk.createFolder(wanted);
            made.add(wanted);
        } catch (FileAlreadyExistsException e) {
            if (!Files.isDirectory(wanted)) {
                throw e;
            }
        }
    }

    /** The hidden folder in which the new files are written. */
    public Path files() {
        return staging.resolve(PendingCommit.NEW);
    }

    /** Writes a small file, such as {@code config.json}; of two with one name the later counts. */
    public void write(String name, byte[] content) throws IOException {
        Path file = files().resolve(name);
        Path parent = Objects.requireNonNull(file.getParent());
        if (!Files.isDirectory(parent)) {
            Disk.createFolder(parent);
        }
        try (Disk.Output out = Disk.create(file)) {
            out.write(ByteBuffer.wrap(content));
            out.finish();
        }
        hashes.put(name, Sha256.hex(content));
    }

    /** Copies a small file of another folder, or of the same. */
    public void copy(Path source, String name) throws IOException {
        try (InputStream in = Files.newInputStream(source)) {
            write(name, in.readAllBytes());
        }
    }

    /** The SHA-256 of each small file written so far, in hexadecimal. */
    public Map<String, String> hashes() {
        return Map.copyOf(hashes);
    }

    /**
     * Whether a file of that name is there that does not belong to what is replaced, and was not written by this library or
     * was changed since.
     */
    public boolean isForeign(String name) throws IOException {
        Path file = folder.resolve(name);
        return !FolderFiles.belongsTo(kind, name)
                && Files.exists(file)
                && !unchanged(name, recorded().get(name));
    }

    /**
     * Puts the new files in the place of the old ones.
     *
     * @throws IOException when that fails; the old files are there then
     */
    public void commit() throws IOException {
        PendingCommit pending = pending();
        pending.requireNoFolderInTheWay(folder);
        pending.write(staging);
        for (Path part : List.of(files().resolve(FolderFiles.TEMPLATES), files(), staging)) {
            if (Files.isDirectory(part)) {
                Disk.syncFolder(part);
            }
        }
        Path commit = folder.resolve(COMMIT);
        FolderRecovery.moveAlone(folder, staging, commit);
        undecided = true;
        try {
            pending.applyOrUndo(folder, commit);
        } catch (IOException e) {
            takeBack(commit, e);
            throw e;
        }
        committed = true;
        try {
            Disk.move(commit, staging);
            undecided = false;
            for (Path parent : made) {
                Disk.syncFolder(Objects.requireNonNull(parent.getParent()));
            }
        } catch (IOException e) {
            LOG.warn(
                    "{}: the new files are in place, but what was there before is not removed yet: {}",
                    folder,
                    e.toString());
        }
    }

    private void takeBack(Path commit, IOException cause) {
        if (cause.getSuppressed().length > 0) {
            return;
        }
        try {
            Disk.move(commit, staging);
            undecided = false;
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
    }

    private PendingCommit pending() throws IOException {
        List<String> files = FolderFiles.list(files());
        List<String> remove = new ArrayList<>(FolderFiles.common(folder, kind));
        if (kind != Kind.WEIGHTS) {
            recorded().forEach((name, hash) -> {
                if (!remove.contains(name) && FolderFiles.isInside(name) && unchanged(name, hash)) {
                    remove.add(name);
                }
            });
        }
        remove.removeAll(files);
        return new PendingCommit(id, kind, files, remove);
    }

    /** The files that an earlier writing has recorded, with their hashes. */
    private Map<String, String> recorded() throws IOException {
        Map<String, String> recorded = new HashMap<>();
        Path record = folder.resolve(RECORD);
        if (Files.isRegularFile(record)) {
            try {
                JsonFile.object(record)
                        .path("files")
                        .properties()
                        .forEach(file ->
                                recorded.put(file.getKey(), file.getValue().asText()));
            } catch (RuntimeException e) {
                LOG.debug("{} is not understood, so it names no files: {}", record, e.getMessage());
            }
        }
        return recorded;
    }

    private boolean unchanged(String name, @Nullable String hash) {
        Path file = folder.resolve(name);
        try {
            return Files.isRegularFile(file)
                    && Files.size(file) <= SmallFiles.MAX_BYTES
                    && Sha256.hex(Files.readAllBytes(file)).equals(hash);
        } catch (IOException e) {
            return false;
        }
    }

    static boolean isEmpty(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.findAny().isEmpty();
        }
    }

    /** Removes what is not needed any more: the old files after a commit, otherwise everything that was begun. */
    @Override
    public void close() throws IOException {
        try {
            if (!undecided) {
                FolderRecovery.delete(staging);
                for (int i = made.size() - 1; i >= 0 && !committed; i--) {
                    if (isEmpty(made.get(i))) {
                        Disk.delete(made.get(i));
                    }
                }
            }
        } catch (IOException e) {
            LOG.warn("{}: unfinished files are left behind until the next save: {}", folder, e.toString());
        } finally {
            if (lock != null) {
                lock.close();
            }
            FolderRecovery.ended(id);
        }
    }
}
