package dev.finetune4j.core.tensor;

import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.jspecify.annotations.Nullable;

/**
 * The time in which something with native memory may be used: calls hold a {@link Use} while they read that memory, and
 * closing waits until none is held, so that nobody reads what was freed.
 *
 * <p>Once closing has begun, no new use begins; a thread that holds one may begin others inside it and comes to its end.
 * Nobody waits for a use but the thread that closes, and it waits for one call, such as a forward pass, not for a whole
 * generation: what calls back hands over between two uses. A use belongs to the thread that began it. Thread-safe.
 */
public final class Lifetime {
    /** What is held while a call reads the memory; close it in the thread that began it. */
    @FunctionalInterface
    public interface Use extends AutoCloseable {
        @Override
        void close();
    }

    /** What borrows the memory between calls, and is closed before the memory is freed. */
    @FunctionalInterface
    public interface Dependent {
        /** Ends it. */
        void close();
    }

    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    private final Lock using;
    private final Use use;
    private final String closedMessage;
    private final @Nullable String busyMessage;
    /** What is closed with it. */
    private final Set<Dependent> attached = Collections.newSetFromMap(new IdentityHashMap<>());

    private volatile boolean closed;
    private boolean freed;

    private Lifetime(String closedMessage, @Nullable String busyMessage) {
        this.closedMessage = closedMessage;
        this.busyMessage = busyMessage;
        this.using = busyMessage == null ? lock.readLock() : lock.writeLock();
        this.use = using::unlock;
    }

    /**
     * That of something which any number of threads may use at once.
     *
     * @param closedMessage says that it is closed and what to do
     */
    public static Lifetime shared(String closedMessage) {
        return new Lifetime(closedMessage, null);
    }

    /**
     * That of something which serves one thread at a time.
     *
     * @param closedMessage says that it is closed and what to do
     * @param busyMessage says that another thread uses it and what to do
     */
    public static Lifetime confined(String closedMessage, String busyMessage) {
        return new Lifetime(closedMessage, busyMessage);
    }

    /**
     * Begins a use.
     *
     * @throws IllegalStateException if it is closed or being closed, or if it serves one thread at a time and another uses it
     */
    public Use use() {
        if (!using.tryLock()) {
            // Of what is shared only the thread that closes keeps others out.
            throw new IllegalStateException(closed || busyMessage == null ? closedMessage : busyMessage);
        }
        if (closed && holds() == 1) {
            using.unlock();
            throw new IllegalStateException(closedMessage);
        }
        return use;
    }

    /**
     * Begins a use of several things, of all or none.
     *
     * @throws IllegalStateException as {@link #use} of any of them
     */
    public static Use useAll(List<Lifetime> lifetimes) {
        int begun = 0;
        try {
            for (Lifetime lifetime : lifetimes) {
                lifetime.use();
                begun++;
            }
        } catch (RuntimeException | Error e) {
            end(lifetimes, begun);
            throw e;
        }
        return () -> end(lifetimes, lifetimes.size());
    }

    private static void end(List<Lifetime> lifetimes, int begun) {
        for (int i = begun - 1; i >= 0; i--) {
            lifetimes.get(i).use.close();
        }
    }

    /**
     * Checks that it is not closed, now.
     *
     * @throws IllegalStateException if it is closed or being closed
     */
    public void requireOpen() {
        if (closed) {
            throw new IllegalStateException(closedMessage);
        }
    }

    /** Whether closing has begun. */
    public boolean isClosed() {
        return closed;
    }

    /**
     * Ends it: refuses new uses, waits for those in progress, and frees. Closing again does nothing but wait for that.
     *
     * @param free frees the memory; called once
     * @throws IllegalStateException if this thread is in the middle of a use, which could not end then; nothing is changed
     */
    public void close(Runnable free) {
        if (holds() > 0) {
            throw new IllegalStateException(
                    "this is closed by one of its own calls, which still needs it; close it when the call has returned");
        }
        closed = true;
        lock.writeLock().lock();
        try {
            if (!freed) {
                freed = true;
                closeAttached();
                free.run();
            }
        } finally {
            lock.writeLock().unlock();
        }
    }

    /**
     * Closes something too before it frees, when no use is in progress.
     *
     * @param dependent borrows the memory; its closing must not need a use
     * @return false when closing has begun; then the caller still has it
     */
    public boolean attach(Dependent dependent) {
        synchronized (attached) {
            return !closed && attached.add(dependent);
        }
    }

    /** Leaves something to its owner again. */
    public void detach(Dependent dependent) {
        synchronized (attached) {
            attached.remove(dependent);
        }
    }

    private void closeAttached() {
        List<Dependent> all;
        synchronized (attached) {
            all = List.copyOf(attached);
            attached.clear();
        }
        all.forEach(Dependent::close);
    }

    private int holds() {
        return busyMessage == null ? lock.getReadHoldCount() : lock.getWriteHoldCount();
    }
}
