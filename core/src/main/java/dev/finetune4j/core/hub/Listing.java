package dev.finetune4j.core.hub;

import java.util.List;

/**
 * What a repository holds at a revision.
 *
 * @param commit that the revision is now
 * @param files all of them
 */
record Listing(String commit, List<RepoFile> files) {
    Listing {
        files = List.copyOf(files);
    }
}
