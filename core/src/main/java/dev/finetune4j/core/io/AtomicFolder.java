package dev.finetune4j.core.io;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A folder that appears under its name complete or not at all: filled in a hidden one beside its place, moved there by {@link
 * #commit()}, and deleted by {@link #close()} when it was not moved. Interrupts do not matter to it. Only whoever holds the {@link
 * FolderClaim} of the parent makes, removes or {@linkplain #sweep sweeps} such folders.
 */
public final class AtomicFolder implements Closeable {
    private static final Logger LOG = LoggerFactory.getLogger(AtomicFolder.class);
    private static final Pattern HIDDEN = Pattern.compile("\\..+\\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.tmp");

    private final Path target;
    private final Path hidden;
    private boolean committed;

    private AtomicFolder(Path target, Path hidden) {
        this.target = target;
        this.hidden = hidden;
    }

    /**
     * Begins a folder.
     *
     * @param target its place, in a folder that exists
     */
    public static AtomicFolder create(Path target) throws IOException {
        Path hidden = hidden(target);
        Disk.createFolder(hidden);
        return new AtomicFolder(target, hidden);
    }

    private static Path hidden(Path target) {
        return target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".tmp");
    }

    /** The hidden folder, where the files are written; whoever writes them sees to it that they reach the disk. */
    public Path path() {
        return hidden;
    }

    /** Writes a small file into it, which reaches the disk. */
    public void write(String name, byte[] content) throws IOException {
        try (Disk.Output out = Disk.create(hidden.resolve(name))) {
            out.write(ByteBuffer.wrap(content));
            out.finish();
        }
    }

    /**
     * Gives the folder its name. What has the name already is removed.
     *
     * @throws IOException when that fails; the folder is not there then
     */
    public void commit() throws IOException {
        Disk.syncFolder(hidden);
        if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            remove(target);
        }
        Disk.move(hidden, target);
        committed = true;
        Disk.syncFolder(Objects.requireNonNull(target.toAbsolutePath().getParent()));
    }

    /** Removes a folder with all that is in it: its name goes first, so that nobody finds a part of it. */
    public static void remove(Path folder) throws IOException {
        Path nameless = hidden(folder);
        Disk.move(folder, nameless);
        delete(nameless);
    }

    /** Deletes what processes that ended have left unfinished in a folder. What cannot be deleted is left, and does no harm. */
    public static void sweep(Path parent) throws IOException {
        for (Path entry : entries(parent)) {
            if (HIDDEN.matcher(entry.getFileName().toString()).matches()
                    && Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)) {
                discard(entry);
            }
        }
    }

    private static void discard(Path folder) {
        try {
            delete(folder);
        } catch (IOException e) {
            LOG.warn("{} is unfinished and could not be deleted; delete it yourself: {}", folder, e.toString());
        }
    }

    private static void delete(Path folder) throws IOException {
        for (Path entry : entries(folder)) {
            if (Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)) {
                delete(entry);
            } else {
                Disk.delete(entry);
            }
        }
        Disk.delete(folder);
    }

    private static List<Path> entries(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.toList();
        }
    }

    @Override
    public void close() {
        if (!committed && Files.isDirectory(hidden, LinkOption.NOFOLLOW_LINKS)) {
            discard(hidden);
        }
    }
}
