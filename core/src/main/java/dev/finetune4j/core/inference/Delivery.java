package dev.finetune4j.core.inference;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Takes the tokens of replies that nobody waits for to their sinks, those of one reply in order. Daemon threads for the whole
 * process, at most one for each reply, which end after some idle seconds.
 */
final class Delivery {
    private static final ExecutorService THREADS = new ThreadPoolExecutor(
            0, Integer.MAX_VALUE, 5, TimeUnit.SECONDS, new SynchronousQueue<>(), Delivery::newThread);

    private Delivery() {}

    private static Thread newThread(Runnable work) {
        Thread thread = new Thread(work, "finetune4j-deliver");
        thread.setDaemon(true);
        return thread;
    }

    /**
     * Delivers whatever comes to a stream from now on.
     *
     * @param atEnd called once, when all has been delivered
     */
    static void of(QueuedReply stream, Runnable atEnd) {
        AtomicInteger undelivered = new AtomicInteger();
        // The thread that took the last token may see the end that another has taken since.
        AtomicBoolean ended = new AtomicBoolean();
        Runnable end = () -> {
            if (ended.compareAndSet(false, true)) {
                atEnd.run();
            }
        };
        stream.onEvent(() -> {
            if (undelivered.getAndIncrement() == 0) {
                THREADS.execute(() -> deliver(stream, undelivered, end));
            }
        });
    }

    private static void deliver(QueuedReply stream, AtomicInteger undelivered, Runnable atEnd) {
        int seen;
        do {
            seen = undelivered.get();
            stream.drain();
        } while (undelivered.addAndGet(-seen) > 0);
        if (stream.isDone()) {
            atEnd.run();
        }
    }
}
