package dev.finetune4j.core.inference;

import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.cuda.CudaStream;
import dev.finetune4j.core.model.CausalLM;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Continuous batching (<a href="https://www.usenix.org/conference/osdi22/presentation/yu">Orca, Yu et al. 2022</a>) for a base model
 * and its adapters: texts are continued together, a token of each at a time, and join and leave between two tokens.
 *
 * <p>A thread of its own does the work, from the first text on until this is closed: what libraries keep for a thread, such as
 * cuBLAS its working memory, is then nobody else's as long as captured graphs use it. Thread-safe. It borrows the model: close
 * this first.
 */
public final class Batcher implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Batcher.class);

    private final CausalLM base;
    private final BatchSettings settings;
    private final BatchEngine engine;
    private final PrefixCaches prefixes;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Deque<BatchedText> waiting = new ArrayDeque<>();
    private @Nullable Thread worker;
    private int generating;
    private boolean closed;

    /** @param base the model that all texts are continued by, or by views of it; borrowed */
    public Batcher(CausalLM base, BatchSettings settings) {
        this.base = base;
        this.settings = settings;
        this.engine = new BatchEngine(base, settings);
        this.prefixes = new PrefixCaches(settings.prefixCacheTokens());
    }

    BatchSettings settings() {
        return settings;
    }

    /** What is kept of the texts of the base and its adapters that have ended. */
    PrefixCaches prefixes() {
        return prefixes;
    }

    /**
     * How many texts of so many positions can run at once.
     *
     * @throws dev.finetune4j.core.FineTune4jException when not even one can
     */
    int most(long positions) {
        return engine.most(positions);
    }

    /**
     * Notes that a reply begins; says whether it is computed by itself: no other is in progress, or the device is a GPU, where it has
     * a stream of its own. To be followed by {@link #leave}.
     */
    boolean enterAlone() {
        lock.lock();
        try {
            generating++;
            return generating == 1
                    || DeviceKernels.of(base.placement().device()).isAsync();
        } finally {
            lock.unlock();
        }
    }

    /** Notes that a reply has ended. */
    void leave() {
        lock.lock();
        try {
            generating--;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Puts a text behind those that wait for their turn.
     *
     * @throws java.util.concurrent.RejectedExecutionException when too many wait
     * @throws dev.finetune4j.core.FineTune4jException when its keys and values would not fit even if it were alone
     * @throws IllegalStateException after closing
     */
    void submit(BatchedText text) {
        engine.requireFits(text);
        lock.lock();
        try {
            requireOpen();
            if (waiting.size() >= settings.maxWaiting()) {
                throw new RejectedExecutionException(
                        waiting.size() + " texts wait for their turn already; send this one again when"
                                + " others have ended, or raise BatchSettings.maxWaiting");
            }
            waiting.add(text);
            changed.signalAll();
            if (worker == null) {
                Thread thread = new Thread(this::work, "finetune4j-batch");
                thread.setDaemon(true);
                worker = thread;
                thread.start();
            }
        } finally {
            lock.unlock();
        }
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the model is closed; load it again");
        }
    }

    private void work() {
        @Nullable CudaStream stream = null;
        try {
            stream = DeviceKernels.of(base.placement().device()).captureStream().orElse(null);
            while (awaitWork()) {
                engine.turn(this::nextWaiting);
            }
        } catch (RuntimeException | Error e) {
            LOG.error("the batch has ended by a fault; its texts fail", e);
            failAll(e instanceof RuntimeException fault ? fault : new IllegalStateException("the batch has failed", e));
            if (e instanceof Error error) {
                throw error;
            }
        } finally {
            if (stream != null) {
                stream.close();
            }
        }
    }

    /** Waits for texts; false after closing, and then this knows no thread any more. */
    private boolean awaitWork() {
        lock.lock();
        try {
            while (!closed && waiting.isEmpty() && engine.isEmpty()) {
                changed.await();
            }
            if (!closed) {
                return true;
            }
            List<BatchedText> rest = new ArrayList<>(waiting);
            waiting.clear();
            IllegalStateException end = new IllegalStateException("the model was closed; load it again");
            engine.failAll(end);
            rest.forEach(text -> text.listener().failed(end));
            engine.close();
            worker = null;
            changed.signalAll();
            return false;
        } catch (InterruptedException e) {
            // Nobody has this thread but this class, which does not interrupt it.
            throw new IllegalStateException("the batch was interrupted", e);
        } finally {
            lock.unlock();
        }
    }

    private @Nullable BatchedText nextWaiting(boolean take) {
        lock.lock();
        try {
            return take ? waiting.poll() : waiting.peek();
        } finally {
            lock.unlock();
        }
    }

    private void failAll(RuntimeException cause) {
        lock.lock();
        try {
            engine.failAll(cause);
            waiting.forEach(text -> text.listener().failed(cause));
            waiting.clear();
            worker = null;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Ends all texts with {@link IllegalStateException}, after the token that they are at. Closing twice is fine. */
    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            changed.signalAll();
            while (worker != null) {
                changed.awaitUninterruptibly();
            }
            engine.close();
        } finally {
            lock.unlock();
        }
        prefixes.close();
    }
}
