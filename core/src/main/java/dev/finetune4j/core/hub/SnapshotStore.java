package dev.finetune4j.core.hub;

import dev.finetune4j.core.cache.Sha256;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;

/**
 * A snapshot of Hugging Face's cache that is being filled. Where the file system has no symbolic links, or the user wants none, the files
 * themselves lie in the snapshot, as with Python.
 */
final class SnapshotStore implements FileStore {
    private final SnapshotCache cache;
    private final String commit;
    private final Repository repository;
    private final Set<Path> own = ConcurrentHashMap.newKeySet();
    private boolean links;

    SnapshotStore(SnapshotCache cache, String commit, Repository repository) {
        this.cache = cache;
        this.commit = commit;
        this.repository = repository;
        this.links = !repository.environment().isTrue("HF_HUB_DISABLE_SYMLINKS");
    }

    private Path blob(RepoFile file) {
        Checksum checksum = file.checksum();
        return cache.blob(checksum == null ? Sha256.hex(commit + "/" + file.path()) : checksum.hex());
    }

    private Path pointer(RepoFile file) {
        return cache.snapshot(commit).resolve(file.path());
    }

    @Override
    public Optional<Path> find(RepoFile file) {
        return Stream.of(pointer(file), blob(file))
                .filter(path -> isWhole(path, file))
                .findFirst();
    }

    private static boolean isWhole(Path path, RepoFile file) {
        try {
            return Files.isRegularFile(path) && (file.size() < 0 || Files.size(path) == file.size());
        } catch (IOException e) {
            return false; // as good as not there
        }
    }

    /** A name of our own: versions of Python's client that append to {@code HASH.incomplete} do not heed locks of Java. */
    @Override
    public Path partial(RepoFile file) {
        Path blob = blob(file);
        return blob.resolveSibling(blob.getFileName() + ".finetune4j.incomplete");
    }

    @Override
    public void keep(RepoFile file, Path content) {
        Path blob = blob(file);
        Disk.move(content, blob);
        own.add(blob);
    }

    @Override
    public Path publish(List<RepoFile> files) {
        List<RepoFile> ordered = new ArrayList<>(files);
        ordered.sort(Comparator.comparing(file -> file.path().equals(ModelFolder.CONFIG))); // comes last
        for (int i = 0; i < ordered.size(); i++) {
            point(ordered.get(i), ordered.subList(i + 1, ordered.size()));
        }
        if (!repository.revision().equals(commit)) {
            Disk.write(cache.ref(repository.revision()), commit);
        }
        return cache.snapshot(commit);
    }

    /** @param later files, some of which may have the same content */
    private void point(RepoFile file, List<RepoFile> later) {
        Path pointer = pointer(file);
        Path blob = blob(file);
        if (Files.isRegularFile(pointer)) {
            return;
        }
        try {
            Files.createDirectories(Disk.parent(pointer));
            if (Files.exists(pointer, LinkOption.NOFOLLOW_LINKS)) {
                Files.delete(pointer); // a link to a blob that is gone
            }
        } catch (IOException e) {
            throw Disk.failure(pointer, e);
        }
        if (!links || !link(pointer, blob)) {
            boolean again = later.stream().anyMatch(other -> blob(other).equals(blob));
            Disk.move(own.contains(blob) && !again ? blob : Disk.copy(blob), pointer);
        }
    }

    private boolean link(Path pointer, Path blob) {
        try {
            Files.createSymbolicLink(pointer, Disk.parent(pointer).relativize(blob.toAbsolutePath()));
            return true;
        } catch (IOException | UnsupportedOperationException | SecurityException e) {
            links = false;
            return false;
        }
    }
}
