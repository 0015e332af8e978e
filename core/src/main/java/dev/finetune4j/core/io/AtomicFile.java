package dev.finetune4j.core.io;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;

/**
 * A file that appears under its name complete or not at all: written beside its place, moved there by {@link
 * #commit()}, and deleted by {@link #close()} when it was not moved. Interrupts do not matter to it.
 */
public final class AtomicFile implements Closeable {
    private final Path target;
    private final Path temporary;
    private final Disk.Output out;
    private boolean committed;

    private AtomicFile(Path target, Path temporary, Disk.Output out) {
        this.target = target;
        this.temporary = temporary;
        this.out = out;
    }

    /**
     * Writes a small file as a whole.
     *
     * @param file in a folder that exists; replaced if it is there
     * @throws IOException when it cannot be written; what was there before is unchanged then
     */
    public static void write(Path file, byte[] content) throws IOException {
        try (AtomicFile out = create(file)) {
            out.out.write(ByteBuffer.wrap(content));
            out.commit();
        }
    }

    static AtomicFile create(Path target) throws IOException {
        Path temporary = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".tmp");
        return new AtomicFile(target, temporary, Disk.create(temporary));
    }

    Disk.Output output() {
        return out;
    }

    void commit() throws IOException {
        out.finish();
        Disk.move(temporary, target);
        committed = true;
        Path folder = target.toAbsolutePath().getParent();
        if (folder != null) {
            Disk.syncFolder(folder);
        }
    }

    @Override
    public void close() throws IOException {
        out.close();
        if (!committed) {
            Files.deleteIfExists(temporary);
        }
    }
}
