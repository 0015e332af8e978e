package dev.finetune4j.data.batch;

import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.data.source.UncountedList;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.IntUnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * Rows that are read and encoded when they are needed. Those that are expected are encoded beforehand on all cores, while the
 * training computes; what is wrong with one is thrown when its turn comes.
 *
 * <p>Used by one thread.
 */
final class LazyUnits implements Units {
    private static final int IDLE_SECONDS = 2;
    /** Rows of one task. */
    private static final int TOGETHER = 8;

    private final List<Example> examples;
    private final ExampleEncoder encoder;
    private final ReportBuilder counts;
    private final BitSet counted = new BitSet();
    private final boolean texts;
    private final Map<Integer, CompletableFuture<EncodedRow>> expected = new HashMap<>();
    private final Executor workers = workers();

    /** @param counts takes each row once, when it was encoded; guarded by itself */
    LazyUnits(List<Example> examples, ExampleEncoder encoder, ReportBuilder counts) {
        this.examples = examples;
        this.encoder = encoder;
        this.counts = counts;
        this.texts = !examples.isEmpty() && examples.get(0) instanceof TextExample;
    }

    private void count(int unit, EncodedRow row) {
        if (!counted.get(unit)) {
            counted.set(unit);
            synchronized (counts) {
                counts.count(row, texts);
            }
        }
    }

    /** Threads that end when nobody needs them, so that there is nothing to close. */
    private static Executor workers() {
        int threads = Runtime.getRuntime().availableProcessors();
        ThreadPoolExecutor pool = new ThreadPoolExecutor(
                threads, threads, IDLE_SECONDS, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
                    Thread thread = new Thread(task, "finetune4j-encoding");
                    thread.setDaemon(true);
                    return thread;
                });
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }

    @Override
    public int size() {
        return examples.size();
    }

    @Override
    public boolean has(int unit) {
        return UncountedList.has(examples, unit);
    }

    @Override
    public int examples() {
        return size();
    }

    @Override
    public boolean isInMemory() {
        return false;
    }

    @Override
    public boolean isSplittable() {
        return true;
    }

    @Override
    public void expect(IntUnaryOperator order, int from, int to) {
        List<Job> jobs = new ArrayList<>(TOGETHER);
        for (int i = from; i < to; i++) {
            int unit = order.applyAsInt(i);
            if (expected.containsKey(unit)) {
                continue;
            }
            jobs.add(read(unit));
            if (jobs.size() == TOGETHER) {
                start(jobs);
                jobs = new ArrayList<>(TOGETHER);
            }
        }
        start(jobs);
    }

    /** A row to encode, or one that could not be read. */
    private record Job(@Nullable Example example, CompletableFuture<EncodedRow> result) {}

    /** Rows are read one after the other, as some files can give them best so. */
    private Job read(int unit) {
        CompletableFuture<EncodedRow> result = new CompletableFuture<>();
        expected.put(unit, result);
        try {
            return new Job(examples.get(unit), result);
        } catch (RuntimeException e) {
            result.completeExceptionally(e);
            return new Job(null, result);
        }
    }

    /** All are handed over together, since whoever waits for the first one mostly needs the others too. */
    private void start(List<Job> jobs) {
        if (jobs.isEmpty()) {
            return;
        }
        workers.execute(() -> {
            List<Runnable> results = new ArrayList<>(jobs.size());
            for (Job job : jobs) {
                if (job.example != null) {
                    results.add(encoded(job.example, job.result));
                }
            }
            results.forEach(Runnable::run);
        });
    }

    private Runnable encoded(Example example, CompletableFuture<EncodedRow> result) {
        try {
            EncodedRow row = encoder.encode(example);
            return () -> result.complete(row);
        } catch (RuntimeException | Error e) {
            return () -> result.completeExceptionally(e);
        }
    }

    @Override
    public void forget() {
        expected.clear();
    }

    @Override
    public List<EncodedExample> get(int unit) {
        CompletableFuture<EncodedRow> coming = expected.remove(unit);
        EncodedRow row;
        try {
            row = coming == null ? encoder.encode(examples.get(unit)) : coming.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException failure) {
                throw failure;
            }
            throw e;
        }
        DatasetProblem problem = row.problem();
        if (problem != null) {
            throw row.cause() == null ? new DatasetException(problem) : new DatasetException(problem, row.cause());
        }
        count(unit, row);
        return row.examples();
    }
}
