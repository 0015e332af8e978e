package dev.finetune4j.core.hub;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** The download of one model: asks what there is, fetches what is needed, and puts the files into the cache together. */
final class ModelDownload {
    private final Repository repository;
    private final ExecutorService threads;
    private final Stop stop;
    private final ProgressCounter progress;
    private final HubClient client;

    /** @param threads for the files; the one that this runs in not among them */
    ModelDownload(Repository repository, ExecutorService threads, Stop stop, ProgressCounter progress) {
        this.repository = repository;
        this.threads = threads;
        this.stop = stop;
        this.progress = progress;
        this.client = new HubClient(repository, new HubHttp(repository, stop), stop);
    }

    /** Does it all, and returns the folder of the model. */
    Path run(FileSelection.Extent extent) {
        progress.phase(DownloadProgress.Phase.LISTING);
        Listing listing = repository.hub().list(repository, client);
        FileSelection selection = new FileSelection(repository, listing);
        selection.check();
        FileStore store = repository.hub().store(repository, listing);
        FileDownload first = new FileDownload(repository, listing, store, client, new ProgressCounter(repository.id()));
        List<RepoFile> wanted;
        if (extent == FileSelection.Extent.SETTINGS) {
            wanted = selection.settings();
        } else {
            wanted = selection.needed(selection
                    .index()
                    .map(file -> first.fetch(described(listing, file)))
                    .orElse(null));
        }
        List<RepoFile> files = inParallel(wanted, file -> described(listing, file));
        fetchAll(files, listing, store);
        return store.publish(files);
    }

    /** @throws HubException when the hub states neither size nor hash, so that nothing would tell a part from the whole */
    private RepoFile described(Listing listing, RepoFile listed) {
        RepoFile file = repository.hub().described(repository, listing, listed, client);
        if (file.size() < 0) {
            throw new HubException(
                    HubException.Reason.UNREACHABLE,
                    repository + " does not say how large " + file.path()
                            + " is, so a part of it could be taken for the whole; use the hub itself or another mirror");
        }
        return file;
    }

    private void fetchAll(List<RepoFile> files, Listing listing, FileStore store) {
        Map<Path, RepoFile> distinct = new LinkedHashMap<>(); // files with the same content grow in the same place
        files.forEach(file -> distinct.putIfAbsent(store.partial(file), file));
        long missing = 0;
        long total = 0;
        for (Map.Entry<Path, RepoFile> entry : distinct.entrySet()) {
            long size = entry.getValue().size();
            total += size;
            if (store.find(entry.getValue()).isEmpty()) {
                missing += Math.max(0, size - entry.getKey().toFile().length());
            }
        }
        Disk.require(repository.cache(), missing, repository.id());
        progress.total(distinct.size(), total);
        FileDownload download = new FileDownload(repository, listing, store, client, progress);
        inParallel(List.copyOf(distinct.values()), download::fetch);
    }

    /** Does work for each file, some at the same time; after a failure nothing is begun, and what is in progress ends. */
    private <T> List<T> inParallel(List<RepoFile> files, Function<RepoFile, T> work) {
        List<Future<T>> futures = new ArrayList<>();
        Semaphore turns = new Semaphore(repository.environment().pace().parallelFiles());
        for (RepoFile file : files) {
            futures.add(threads.submit(() -> {
                turns.acquire();
                try {
                    stop.check();
                    return work.apply(file);
                } catch (RuntimeException | Error e) {
                    stop.set();
                    throw e;
                } finally {
                    turns.release();
                }
            }));
        }
        List<T> results = new ArrayList<>();
        RuntimeException failure = null;
        for (Future<T> future : futures) {
            try {
                results.add(future.get());
            } catch (ExecutionException e) {
                failure = first(failure, e.getCause() == null ? e : e.getCause());
            } catch (InterruptedException e) {
                stop.set();
                throw new IllegalStateException("nobody interrupts the threads of a download", e);
            }
        }
        if (failure != null) {
            throw failure;
        }
        return results;
    }

    /** The failure that stopped the others, not one of theirs. */
    private static RuntimeException first(@Nullable RuntimeException known, Throwable cause) {
        if (cause instanceof Error error) {
            throw error;
        }
        RuntimeException failure = cause instanceof RuntimeException plain ? plain : new IllegalStateException(cause);
        boolean follows = known instanceof HubException hub && hub.reason() == HubException.Reason.CANCELLED;
        return known == null || follows ? failure : known;
    }
}
