package dev.finetune4j.core.inference;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Lifetime;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * Keys and values of texts that have ended, for requests whose prompts begin alike: the next turn of a conversation goes on with
 * what the last one left, and prompts that share less than three quarters of it get a copy. Those of the last texts are kept, as many as have
 * room. Thread-safe.
 */
final class PrefixCaches implements AutoCloseable {
    /** Fewer tokens are computed sooner than they are found. */
    private static final int MIN_COMMON = 16;

    private record Entry(CausalLM model, PromptCache cache, long positions) {}

    private final long limit;
    /** The last one first. */
    private final Deque<Entry> idle = new ArrayDeque<>();

    private long held;
    private boolean closed;

    /** @param limit for how many tokens there is room; 0 keeps nothing */
    PrefixCaches(long limit) {
        this.limit = limit;
    }

    /**
     * A cache for a prompt, with the longest beginning of it that is known.
     *
     * @return the caller's, to be given back or closed
     * @throws IllegalStateException if the model or its adapter is closed
     */
    PromptCache take(CausalLM model, int[] prompt) {
        synchronized (this) {
            Entry best = null;
            int most = MIN_COMMON - 1;
            for (Entry entry : idle) {
                int common = entry.model() == model ? entry.cache().common(prompt) : 0;
                if (common > most) {
                    best = entry;
                    most = common;
                }
            }
            if (best != null && 4L * most < 3L * best.cache().length()) {
                return best.cache().copy(model, most);
            }
            if (best != null) {
                remove(best);
                return best.cache();
            }
        }
        return PromptCache.of(model);
    }

    private void remove(Entry entry) {
        idle.remove(entry);
        held -= entry.positions();
    }

    /** Keeps a cache that nobody uses any more, or closes it. */
    void give(CausalLM model, PromptCache cache) {
        List<PromptCache> rest = new ArrayList<>();
        cache.idle();
        Entry entry = new Entry(model, cache, cache.memory().capacity());
        synchronized (this) {
            for (Entry other : List.copyOf(idle)) {
                if (isClosed(other.model())) {
                    remove(other);
                    rest.add(other.cache());
                }
            }
            if (closed || entry.positions() > limit || isClosed(model)) {
                rest.add(cache);
            } else {
                idle.addFirst(entry);
                held += entry.positions();
            }
            while (held > limit) {
                Entry oldest = idle.getLast();
                remove(oldest);
                rest.add(oldest.cache());
            }
        }
        rest.forEach(PromptCache::close);
    }

    private static boolean isClosed(CausalLM model) {
        return model.lifetimes().stream().anyMatch(Lifetime::isClosed);
    }

    /** Frees all, and keeps nothing any more. Closing twice is fine. */
    @Override
    public void close() {
        List<Entry> all;
        synchronized (this) {
            closed = true;
            all = List.copyOf(idle);
            idle.clear();
            held = 0;
        }
        all.forEach(entry -> entry.cache().close());
    }
}
