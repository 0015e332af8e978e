package dev.finetune4j.core.io;

import java.io.Closeable;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;

/**
 * The changes that this package makes to files, one call for each, none of which an interrupt of the thread can break.
 * Stateless, but for a watcher that lets tests end or fail a writing at any of its steps.
 */
final class Disk {
    /** Told of each change before it is made; what it throws happens instead of the change. */
    @FunctionalInterface
    interface Watcher {
        void before(String step, Path path) throws IOException;
    }

    private static final int CHUNK_BYTES = 1 << 20;

    private static volatile @Nullable Watcher watcher;

    private Disk() {}

    static void watch(@Nullable Watcher newWatcher) {
        watcher = newWatcher;
    }

    private static void step(String step, Path path) throws IOException {
        Watcher told = watcher;
        if (told != null) {
            told.before(step, path);
        }
    }

    static void createFolder(Path folder) throws IOException {
        step("create folder", folder);
        Files.createDirectory(folder);
    }

    /** Moves in one step, within one file system; a file that is there is replaced. */
    static void move(Path from, Path to) throws IOException {
        step("move", to);
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    static boolean delete(Path path) throws IOException {
        step("delete", path);
        return Files.deleteIfExists(path);
    }

    static Output create(Path file) throws IOException {
        step("create", file);
        return new Output(file);
    }

    /** Makes moves into and out of a folder last; where folders cannot be opened, the file system sees to it. */
    static void syncFolder(Path folder) throws IOException {
        step("sync folder", folder);
        Uninterrupted.call(() -> {
            try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
                channel.force(true);
            } catch (IOException e) {
                return false;
            }
            return true;
        });
    }

    /** A new file that is being written. */
    static final class Output implements Closeable {
        private final Path file;
        private final FileOutputStream out;
        private byte[] chunk = new byte[0];
        private boolean open = true;

        private Output(Path file) throws IOException {
            this.file = file;
            // A stream, whose writes no interrupt can end; its files have the usual rights, unlike temporary ones.
            this.out = new FileOutputStream(file.toFile());
        }

        void write(ByteBuffer bytes) throws IOException {
            while (bytes.hasRemaining()) {
                int length = Math.min(bytes.remaining(), CHUNK_BYTES);
                if (chunk.length < length) {
                    chunk = new byte[length];
                }
                bytes.get(chunk, 0, length);
                step("write", file);
                out.write(chunk, 0, length);
            }
        }

        /** Ends the writing; everything is on the disk then, so that no later move can get there before the content. */
        void finish() throws IOException {
            if (open) {
                step("sync", file);
                out.getFD().sync();
                close();
            }
        }

        @Override
        public void close() throws IOException {
            open = false;
            out.close();
        }
    }
}
