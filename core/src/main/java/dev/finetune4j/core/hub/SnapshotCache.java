package dev.finetune4j.core.hub;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * A model in Hugging Face's cache: {@code blobs} by hash, {@code snapshots} by commit with links to them, {@code refs} from branches and
 * tags to commits. It is shared with Python.
 *
 * @param repository of the model
 */
record SnapshotCache(Repository repository) {
    private static final String PREFIX = "models--";
    private static final String SNAPSHOTS = "snapshots";
    private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}");

    static boolean isCommit(String text) {
        return COMMIT.matcher(text).matches();
    }

    /** The folder of the model. */
    Path folder() {
        return repository.cache().resolve(folderName());
    }

    private String folderName() {
        return PREFIX + repository.id().replace("/", "--");
    }

    Path blob(String name) {
        return folder().resolve("blobs").resolve(name);
    }

    Path snapshot(String commit) {
        return folder().resolve(SNAPSHOTS).resolve(commit);
    }

    Path ref(String revision) {
        return folder().resolve("refs").resolve(revision);
    }

    Path lock() {
        return repository.cache().resolve(".locks").resolve(folderName()).resolve("finetune4j.lock");
    }

    /** The id of the model whose snapshot a folder is, by its place in a cache. */
    static Optional<String> idOf(Path folder) {
        Path place = folder.toAbsolutePath().normalize();
        int parts = place.getNameCount();
        if (parts < 3 || !isCommit(place.getName(parts - 1).toString())) {
            return Optional.empty();
        }
        String name = place.getName(parts - 3).toString();
        return name.startsWith(PREFIX) && place.getName(parts - 2).toString().equals(SNAPSHOTS)
                ? Optional.of(name.substring(PREFIX.length()).replace("--", "/"))
                : Optional.empty();
    }

    /** The snapshot of a revision, if it is known and has what is needed. */
    Optional<Path> find(String revision, FileSelection.Extent extent) {
        String commit = revision;
        if (!isCommit(revision)) {
            try {
                commit = Files.isRegularFile(ref(revision))
                        ? Files.readString(ref(revision)).strip()
                        : "";
            } catch (IOException e) {
                commit = ""; // read as not there, and fetched again where that is allowed
            }
        }
        return isCommit(commit) ? Optional.of(snapshot(commit)).filter(extent::isIn) : Optional.empty();
    }
}
