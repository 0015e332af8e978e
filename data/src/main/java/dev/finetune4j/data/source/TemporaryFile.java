package dev.finetune4j.data.source;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A file whose name goes when it is closed. Whoever has it open goes on reading, and its room is free once nobody does, even if
 * the process is killed. Where the system lets no file go that is open, as on Windows, it goes with the process.
 */
public final class TemporaryFile implements AutoCloseable {
    /** Where they are. */
    static final Path FOLDER = Path.of(System.getProperty("java.io.tmpdir"));

    /** Follows what went wrong when one was written. */
    public static final String REMEDY = "; make room in the folder of temporary files, " + FOLDER
            + ", or name another one with -Djava.io.tmpdir=FOLDER";

    private static final Logger LOG = LoggerFactory.getLogger(TemporaryFile.class);

    private final Path path;

    /** Makes an empty one. */
    public TemporaryFile() throws IOException {
        this.path = Files.createTempFile(FOLDER, "finetune4j-rows", ".tmp");
    }

    /** Where it is. */
    public Path path() {
        return path;
    }

    @Override
    public void close() {
        deleteName();
    }

    /** Lets the name go now, where the system lets a file go that is open. */
    void deleteName() {
        try {
            Files.deleteIfExists(path);
        } catch (IOException e) {
            LOG.debug("{} is deleted with the process", path, e);
            path.toFile().deleteOnExit();
        }
    }
}
