package dev.finetune4j.core.hub;

import dev.finetune4j.core.cache.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** A folder of ModelScope's cache that is being filled. Files come into it when all are there, so that it is mixed for moments alone. */
final class PlainStore implements FileStore {
    private final PlainCache cache;
    private final Path folder;
    private final Map<String, String> hashes;
    /** Whether no earlier filling was broken off, so that the files are those of the hashes. */
    private final boolean settled;

    PlainStore(PlainCache cache) {
        this.cache = cache;
        this.folder = cache.folder();
        this.hashes = cache.hashes(folder);
        this.settled = cache.isSettled(folder);
    }

    private static String name(RepoFile file) {
        Checksum checksum = file.checksum();
        return checksum == null ? Sha256.hex(file.path()) : checksum.hex();
    }

    private Path kept(RepoFile file) {
        return cache.temporary().resolve(name(file));
    }

    @Override
    public Path partial(RepoFile file) {
        return cache.temporary().resolve(name(file) + ".incomplete");
    }

    @Override
    public Optional<Path> find(RepoFile file) {
        Path there = folder.resolve(file.path());
        try {
            if (file.checksum() != null && Files.isRegularFile(kept(file))) {
                return Optional.of(kept(file));
            }
            boolean same = file.checksum() != null
                    && Files.isRegularFile(there)
                    && Files.size(there) == file.size()
                    && hash(file, there).equals(file.checksum().hex());
            return same ? Optional.of(there) : Optional.empty();
        } catch (IOException e) {
            return Optional.empty(); // as good as not there
        }
    }

    /** That of the index, or of the content where the hub's own client has put it there. */
    private String hash(RepoFile file, Path there) throws IOException {
        String known = hashes.get(file.path());
        if (known != null && settled) {
            return known;
        }
        MessageDigest digest = Sha256.digest();
        try (InputStream in = new DigestInputStream(Files.newInputStream(there), digest)) {
            in.transferTo(OutputStream.nullOutputStream());
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    @Override
    public void keep(RepoFile file, Path content) {
        Disk.move(content, kept(file));
    }

    @Override
    public Path publish(List<RepoFile> files) {
        Map<String, String> now = new TreeMap<>();
        files.forEach(file -> now.put(file.path(), name(file)));
        Disk.folder(folder);
        cache.write(folder, hashes, false);
        try {
            for (String old : hashes.keySet()) {
                if (!now.containsKey(old) && SafeName.isInside(old)) {
                    Files.deleteIfExists(
                            folder.resolve(old)); // weights of an earlier revision would be taken for these
                }
            }
        } catch (IOException e) {
            throw Disk.failure(folder, e);
        }
        for (int i = 0; i < files.size(); i++) {
            place(files.get(i), files.subList(i + 1, files.size()));
        }
        cache.write(folder, now, true);
        return folder;
    }

    /** @param later files, some of which may have the same content */
    private void place(RepoFile file, List<RepoFile> later) {
        Path content = kept(file);
        if (!Files.isRegularFile(content)) {
            return;
        }
        boolean again = later.stream().anyMatch(other -> kept(other).equals(content));
        Disk.move(again ? Disk.copy(content) : content, folder.resolve(file.path()));
    }
}
