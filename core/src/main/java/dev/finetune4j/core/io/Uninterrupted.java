package dev.finetune4j.core.io;

import java.io.IOException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Does work on channels in a thread of its own, because the interrupt of a thread closes the channel that it works on.
 * The caller waits for the end and keeps its interrupt flag, so an interrupted training can still load and save.
 */
final class Uninterrupted {
    private static final ExecutorService THREADS =
            new ThreadPoolExecutor(0, Integer.MAX_VALUE, 1, TimeUnit.SECONDS, new SynchronousQueue<>(), work -> {
                Thread thread = new Thread(work, "finetune4j-files");
                thread.setDaemon(true);
                thread.setContextClassLoader(null); // or an idle thread would keep an application's loader alive
                return thread;
            });

    private Uninterrupted() {}

    @FunctionalInterface
    interface Work<T> {
        T run() throws IOException;
    }

    static <T> T call(Work<T> work) throws IOException {
        Future<T> result = THREADS.submit(work::run);
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return result.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } catch (ExecutionException e) {
            throw thrown(e.getCause());
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static IOException thrown(@Nullable Throwable cause) {
        if (cause instanceof RuntimeException failure) {
            throw failure;
        }
        if (cause instanceof Error error) {
            throw error;
        }
        return cause instanceof IOException failure ? failure : new IOException(cause);
    }
}
