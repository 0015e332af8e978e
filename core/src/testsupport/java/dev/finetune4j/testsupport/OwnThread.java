package dev.finetune4j.testsupport;

import java.util.concurrent.Executor;

/**
 * Runs each task in a thread of its own, for tasks that wait for one another. The pool that {@link java.util.concurrent.CompletableFuture}
 * takes by itself has, on two processors, a single thread from JDK 25 on, in which the second of them would never begin.
 */
public final class OwnThread {
    /** Daemon threads, so that a task that hangs does not keep the tests from their end. */
    public static final Executor EACH = task -> {
        Thread thread = new Thread(task, "test task");
        thread.setDaemon(true);
        thread.start();
    };

    private OwnThread() {}
}
