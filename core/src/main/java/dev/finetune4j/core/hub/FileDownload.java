package dev.finetune4j.core.hub;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.LongConsumer;

/**
 * Brings one file of a repository into a store.
 *
 * @param repository that it is in
 * @param listing of the repository
 * @param store for it
 * @param client that asks
 * @param progress told what comes
 */
record FileDownload(
        Repository repository, Listing listing, FileStore store, HubClient client, ProgressCounter progress) {

    /**
     * Fetches what is missing of the file, and checks it.
     *
     * @return where its content is
     * @throws HubException when it cannot be had
     */
    Path fetch(RepoFile file) {
        Optional<Path> there = store.find(file);
        if (there.isPresent()) {
            progress.grown(file.size());
            progress.finishedFile();
            return there.get();
        }
        Path path = store.partial(file);
        Disk.folder(Disk.parent(path));
        boolean[] reading = {true}; // what an earlier download has left comes from the disk
        LongConsumer grown = count -> {
            progress.grown(count);
            if (!reading[0]) {
                progress.received(count);
            }
        };
        try (PartialFile partial = PartialFile.open(path, file, grown)) {
            reading[0] = false;
            if (!partial.isWhole()) {
                client.download(repository.hub().address(repository, listing, file), partial);
            }
            if (!partial.isAsStated()) {
                // What an earlier process left may have been damaged: once more from the beginning.
                partial.restart();
                client.download(repository.hub().address(repository, listing, file), partial);
                requireAsStated(file, partial);
            }
            partial.finish();
        } catch (IOException e) {
            throw Disk.failure(path, e);
        }
        store.keep(file, path);
        progress.finishedFile();
        return store.find(file)
                .orElseThrow(() -> Disk.failure(path, new IOException("it vanished while it was being kept")));
    }

    private void requireAsStated(RepoFile file, PartialFile partial) throws IOException {
        if (!partial.isAsStated()) {
            partial.restart();
            throw new HubException(
                    HubException.Reason.DAMAGED,
                    file.path() + " of " + repository
                            + " came twice with another content than the hub states by its hash; a proxy may"
                            + " change it, or the repository has just changed: try again");
        }
    }
}
