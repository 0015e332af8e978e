package dev.finetune4j.core.hub;

import dev.finetune4j.core.io.AtomicFile;
import dev.finetune4j.core.message.ByteCount;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** What a cache needs of the disk, with errors that say what to do. Stateless. */
final class Disk {
    private Disk() {}

    static HubException failure(Path path, IOException cause) {
        return new HubException(
                HubException.Reason.DISK,
                path + " cannot be written: " + cause
                        + "; see that the disk has room and the folder belongs to you, or put the cache"
                        + " elsewhere with cache(folder)",
                cause);
    }

    /** The folder that a file of a cache is in. */
    static Path parent(Path file) {
        Path absolute = file.toAbsolutePath();
        return Objects.requireNonNullElse(absolute.getParent(), absolute);
    }

    /** Makes a folder with those above it. */
    static void folder(Path folder) {
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw failure(folder, e);
        }
    }

    /** Moves within a cache; a file that is there is replaced. */
    static void move(Path from, Path to) {
        try {
            Files.createDirectories(parent(to));
            try {
                Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } catch (AtomicMoveNotSupportedException e) {
                Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
            }
        } catch (IOException e) {
            throw failure(to, e);
        }
    }

    /** A copy beside a file, under a name that nobody takes for content. */
    static Path copy(Path file) {
        Path copy = file.resolveSibling(file.getFileName() + ".copy.incomplete");
        try {
            Files.copy(file, copy, StandardCopyOption.REPLACE_EXISTING);
            return copy;
        } catch (IOException e) {
            throw failure(copy, e);
        }
    }

    /** Writes a small file as a whole. */
    static void write(Path file, String text) {
        try {
            Files.createDirectories(parent(file));
            AtomicFile.write(file, text.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw failure(file, e);
        }
    }

    /** @throws HubException when the disk of a folder has fewer bytes free than are needed */
    static void require(Path folder, long bytes, String model) {
        Path there = folder.toAbsolutePath();
        while (there != null && !Files.exists(there)) {
            there = there.getParent();
        }
        Long free = there == null ? null : free(there);
        if (free != null && free < bytes) {
            throw new HubException(
                    HubException.Reason.DISK,
                    model + " needs " + ByteCount.text(bytes) + " more, but the disk of " + folder + " has "
                            + ByteCount.text(free) + " free; make room, or put the cache elsewhere with cache(folder)");
        }
    }

    private static @Nullable Long free(Path folder) {
        try {
            return Files.getFileStore(folder).getUsableSpace();
        } catch (IOException e) {
            return null; // the file system does not say; the writing will
        }
    }
}
