package dev.finetune4j.examples.task;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.lora.train.checkpoint.CheckpointFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * The checkpoints of an earlier training that a new one is to replace. They are set aside until that begins its steps, so that none is lost
 * to a training that cannot begin; a process that is killed between leaves them in the folder aside, from which the next one takes them
 * back.
 */
final class OldCheckpoints {
    private static final String ASIDE = "replaced-checkpoints";

    private final Path folder;
    private boolean pending;

    /** @param folder that checkpoints are written to */
    OldCheckpoints(Path folder) {
        this.folder = folder;
        restore();
    }

    /** Sets them aside. */
    void setAside() {
        List<Path> old = List.copyOf(CheckpointFolder.all(folder).values());
        if (old.isEmpty()) {
            return;
        }
        try {
            Files.createDirectories(folder.resolve(ASIDE));
            for (Path checkpoint : old) {
                Files.move(checkpoint, folder.resolve(ASIDE).resolve(checkpoint.getFileName()));
            }
        } catch (IOException e) {
            throw failed(e);
        }
        pending = true;
    }

    /** Deletes those that were set aside. */
    void delete() {
        if (!pending) {
            return;
        }
        try (Stream<Path> all = Files.walk(folder.resolve(ASIDE))) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        } catch (IOException e) {
            throw failed(e);
        }
        pending = false;
    }

    /** Puts those that were set aside back to where they were. */
    void restore() {
        Path aside = folder.resolve(ASIDE);
        if (!Files.isDirectory(aside)) {
            return;
        }
        try {
            for (Path checkpoint : CheckpointFolder.all(aside).values()) {
                Path place = folder.resolve(checkpoint.getFileName());
                if (!Files.exists(place)) {
                    Files.move(checkpoint, place);
                }
            }
            pending = CheckpointFolder.all(aside).size() > 0;
            if (!pending) {
                Files.delete(aside);
            }
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private FineTune4jException failed(IOException e) {
        return new FineTune4jException(
                "the checkpoints of an earlier training in " + folder + " cannot be replaced (" + e
                        + "); check its rights, delete them, or choose another output_dir",
                e);
    }
}
