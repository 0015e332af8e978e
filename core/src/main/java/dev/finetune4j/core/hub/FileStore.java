package dev.finetune4j.core.hub;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** The part of a cache in which the files of one model at one revision are put. Files of different names may be put at the same time. */
sealed interface FileStore permits SnapshotStore, PlainStore {
    /** The file, if it is there in full. */
    Optional<Path> find(RepoFile file);

    /** Where the file grows; content of another hash grows elsewhere. */
    Path partial(RepoFile file);

    /** Gives complete content its name in the cache, but not yet in the model's folder. */
    void keep(RepoFile file, Path content);

    /**
     * Puts what was kept into the model's folder. A folder with config.json is complete: it comes last.
     *
     * @return the folder
     */
    Path publish(List<RepoFile> files);
}
