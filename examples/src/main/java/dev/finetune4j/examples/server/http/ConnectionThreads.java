package dev.finetune4j.examples.server.http;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Threads for connections. */
final class ConnectionThreads {
    private static final int KEPT_SECONDS = 30;

    private ConnectionThreads() {}

    /** Virtual threads where the JVM has them, which this code, compiled for Java 17, cannot name; otherwise a pool. */
    static ExecutorService atMost(int connections) {
        try {
            MethodHandle virtual = MethodHandles.publicLookup()
                    .findStatic(
                            Executors.class,
                            "newVirtualThreadPerTaskExecutor",
                            MethodType.methodType(ExecutorService.class));
            return (ExecutorService) virtual.invokeExact();
        } catch (NoSuchMethodException | IllegalAccessException e) {
            return pool(connections);
        } catch (Throwable e) {
            throw new IllegalStateException("virtual threads are there but cannot be had", e);
        }
    }

    /** One more than connections: a thread ends shortly after its connection has left the listener's set. */
    private static ExecutorService pool(int connections) {
        AtomicInteger number = new AtomicInteger();
        return new ThreadPoolExecutor(
                0, 2 * connections, KEPT_SECONDS, TimeUnit.SECONDS, new SynchronousQueue<>(), work -> {
                    Thread thread = new Thread(work, "finetune4j-http-" + number.incrementAndGet());
                    thread.setDaemon(true);
                    return thread;
                });
    }
}
