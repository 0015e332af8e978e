package dev.finetune4j.data.batch;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BiConsumer;
import java.util.function.Function;

/** Maps the items of a list on all cores, and gives the results on in the order of the items. Stateless. */
final class OrderedMap {
    /** Items of one task: few, so that all cores end together; many, so that handing over costs nothing. */
    private static final int CHUNK = 32;
    /** Below that a thread is not worth its start. */
    private static final int FEW = 64;
    /** Tasks that may wait for each core. */
    private static final int AHEAD = 4;

    private OrderedMap() {}

    static <T, R> void of(List<T> items, Function<? super T, R> mapping, BiConsumer<? super T, ? super R> sink) {
        int threads = Runtime.getRuntime().availableProcessors();
        if (items.size() < FEW || threads == 1) {
            List.copyOf(items).forEach(item -> sink.accept(item, mapping.apply(item)));
            return;
        }
        ExecutorService workers = Executors.newFixedThreadPool(threads, task -> {
            Thread thread = new Thread(task, "finetune4j-encoding");
            thread.setDaemon(true);
            return thread;
        });
        try {
            Deque<Task<T, R>> waiting = new ArrayDeque<>();
            for (int start = 0; start < items.size(); start += CHUNK) {
                // Copied here and in order: a list may read its items from a file, which some can give best so.
                List<T> chunk = List.copyOf(items.subList(start, Math.min(items.size(), start + CHUNK)));
                waiting.add(new Task<>(chunk, workers.submit(() -> mapped(chunk, mapping))));
                if (waiting.size() > AHEAD * threads) {
                    waiting.remove().giveTo(sink);
                }
            }
            while (!waiting.isEmpty()) {
                waiting.remove().giveTo(sink);
            }
        } finally {
            workers.shutdownNow();
        }
    }

    private static <T, R> List<R> mapped(List<T> chunk, Function<? super T, R> mapping) {
        List<R> results = new ArrayList<>(chunk.size());
        chunk.forEach(item -> results.add(mapping.apply(item)));
        return results;
    }

    private record Task<T, R>(List<T> items, Future<List<R>> results) {
        void giveTo(BiConsumer<? super T, ? super R> sink) {
            List<R> mapped = await();
            for (int i = 0; i < items.size(); i++) {
                sink.accept(items.get(i), mapped.get(i));
            }
        }

        private List<R> await() {
            boolean interrupted = false;
            try {
                while (true) {
                    try {
                        return results.get();
                    } catch (InterruptedException e) {
                        // The caller asks for its flag between steps; what is encoded so far is not thrown away.
                        interrupted = true;
                    } catch (ExecutionException e) {
                        throw unchecked(e.getCause() == null ? e : e.getCause());
                    }
                }
            } finally {
                if (interrupted) {
                    Thread.currentThread().interrupt();
                }
            }
        }

        private static RuntimeException unchecked(Throwable thrown) {
            if (thrown instanceof Error error) {
                throw error;
            }
            return thrown instanceof RuntimeException failure ? failure : new IllegalStateException(thrown);
        }
    }
}
