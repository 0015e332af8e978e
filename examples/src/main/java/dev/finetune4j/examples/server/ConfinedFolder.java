package dev.finetune4j.examples.server;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Optional;

/** A folder beyond which requests cannot reach. */
record ConfinedFolder(Path folder) {
    /**
     * What a path leads to, whatever links there are; empty for what lies elsewhere or is not there, so that nobody learns which.
     *
     * @param path relative to the folder, or absolute
     */
    Optional<Path> find(String path) {
        try {
            Path root = folder.toRealPath();
            Path given = root.resolve(path).normalize();
            if (given.startsWith(root) && Files.exists(given)) {
                Path real = given.toRealPath();
                return real.startsWith(root) ? Optional.of(real) : Optional.empty();
            }
        } catch (IOException | InvalidPathException e) {
            // It is nothing that could be read.
        }
        return Optional.empty();
    }
}
