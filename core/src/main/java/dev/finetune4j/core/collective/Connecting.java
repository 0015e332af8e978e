package dev.finetune4j.core.collective;

import dev.finetune4j.core.DeviceException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** How a library of collective operations connects: it cannot be interrupted, and if one of the others is lost it never returns. */
final class Connecting {
    private static final long POLL_MILLIS = 100;

    private Connecting() {}

    /**
     * Lets a library connect on a daemon thread, and waits for it.
     *
     * @param library its name, for messages and the thread
     * @param work what connects
     * @param discard frees what was made when nobody waits for it any more
     * @param check throws when a rank was lost; the thread is left alone then
     */
    static <T> T await(String library, Supplier<T> work, Consumer<T> discard, Runnable check) {
        CompletableFuture<T> made = new CompletableFuture<>();
        Thread thread = new Thread(
                () -> {
                    try {
                        T connection = work.get();
                        if (!made.complete(connection)) {
                            discard.accept(connection);
                        }
                    } catch (Throwable e) { // an Error too must reach who waits
                        made.completeExceptionally(e);
                    }
                },
                "finetune4j-connect-" + library);
        thread.setDaemon(true);
        thread.start();
        try {
            return await(library, made, check);
        } catch (RuntimeException e) {
            if (!made.cancel(false) && !made.isCompletedExceptionally()) {
                discard.accept(made.join());
            }
            throw e;
        }
    }

    private static <T> T await(String library, CompletableFuture<T> made, Runnable check) {
        while (true) {
            try {
                return made.get(POLL_MILLIS, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                check.run();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new DeviceException("interrupted while " + library + " was connecting the ranks", e);
            } catch (ExecutionException e) {
                throw e.getCause() instanceof RuntimeException cause
                        ? cause
                        : new DeviceException(library + " cannot be used: " + e.getCause(), e.getCause());
            }
        }
    }
}
