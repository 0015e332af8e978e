package dev.finetune4j.core.hub;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;

/** A download in threads of its own, for a caller who waits, is told of progress, and may cancel or be interrupted. */
final class DownloadRun {
    private static final long POLL_MILLIS = 50;
    private static final long REPORT_NANOS = 200_000_000;

    private final Repository repository;
    private final DownloadListener listener;
    private final FileSelection.Extent extent;
    private final boolean always;
    private final Stop stop;
    private final ProgressCounter progress;
    private DownloadProgress reported;
    private long reportedAt = System.nanoTime();
    private boolean interrupted;

    /** @param always whether the hub is asked even if the cache has the model by the time the lock is there */
    DownloadRun(Repository repository, FileSelection.Extent extent, DownloadListener listener, boolean always) {
        this.repository = repository;
        this.extent = extent;
        this.listener = listener;
        this.always = always;
        this.stop = new Stop(repository.id());
        this.progress = new ProgressCounter(repository.id());
        this.reported = progress.snapshot();
    }

    /** Starts it and waits for the folder of the model. */
    Path await(BooleanSupplier cancelled) {
        ExecutorService threads = Executors.newCachedThreadPool(work -> {
            Thread thread = new Thread(work, "finetune4j-download");
            thread.setDaemon(true);
            thread.setContextClassLoader(null); // or an idle thread would keep an application's loader alive
            return thread;
        });
        try {
            Future<Path> folder = threads.submit(() -> locked(threads));
            return await(folder, cancelled);
        } finally {
            stop.set();
            threads.shutdown();
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private Path locked(ExecutorService threads) throws IOException {
        Path file = repository.hub().lock(repository);
        try (RepoLock lock = RepoLock.take(file, stop, () -> progress.phase(DownloadProgress.Phase.WAITING))) {
            Optional<Path> there = always ? Optional.empty() : repository.hub().cached(repository, extent);
            return there.isPresent() ? there.get() : new ModelDownload(repository, threads, stop, progress).run(extent);
        }
    }

    private Path await(Future<Path> folder, BooleanSupplier cancelled) {
        RuntimeException failure = null;
        while (true) {
            try {
                Path result = folder.get(POLL_MILLIS, TimeUnit.MILLISECONDS);
                if (failure != null) {
                    throw failure;
                }
                progress.phase(DownloadProgress.Phase.DONE);
                listener.onProgress(progress.snapshot());
                return result;
            } catch (TimeoutException e) {
                try {
                    look(cancelled);
                } catch (RuntimeException ofCaller) {
                    failure = ofCaller;
                    stop.set();
                }
            } catch (InterruptedException e) {
                interrupted = true;
                stop.set();
            } catch (ExecutionException e) {
                throw failure == null ? thrown(e.getCause() == null ? e : e.getCause()) : failure;
            }
        }
    }

    /** Asks the caller whether to go on, and tells what is new. */
    private void look(BooleanSupplier cancelled) {
        if (cancelled.getAsBoolean()) {
            stop.set();
        }
        DownloadProgress now = progress.snapshot();
        if (System.nanoTime() - reportedAt >= REPORT_NANOS && !isSame(now, reported)) {
            listener.onProgress(now);
            reported = now;
            reportedAt = System.nanoTime();
        }
    }

    private static boolean isSame(DownloadProgress one, DownloadProgress other) {
        return one.phase() == other.phase() && one.bytes() == other.bytes() && one.files() == other.files();
    }

    private RuntimeException thrown(Throwable cause) {
        if (cause instanceof Error error) {
            throw error;
        }
        if (cause instanceof IOException failure) {
            return Disk.failure(repository.cache(), failure);
        }
        return cause instanceof RuntimeException failure ? failure : new IllegalStateException(cause);
    }
}
