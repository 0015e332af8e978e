package dev.finetune4j.core.hub;

import org.jspecify.annotations.Nullable;

/**
 * A file of a repository, as the hub describes it.
 *
 * @param path in the repository, with {@code /}; {@linkplain SafeName checked}
 * @param size in bytes; -1 while it is not known
 * @param checksum of its content; null when the hub states none
 */
record RepoFile(String path, long size, @Nullable Checksum checksum) {
    RepoFile {
        SafeName.require(path);
    }
}
