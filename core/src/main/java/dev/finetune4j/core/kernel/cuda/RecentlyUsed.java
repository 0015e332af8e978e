package dev.finetune4j.core.kernel.cuda;

import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A map that forgets what was not asked for longest when it is full. Thread-safe. */
final class RecentlyUsed<K, V> {
    private final Map<K, V> entries;

    /** @param most entries that it holds */
    RecentlyUsed(int most) {
        entries = new LinkedHashMap<>(16, 0.75f, true) {
            @Override
            protected boolean removeEldestEntry(Map.Entry<K, V> eldest) {
                return size() > most;
            }
        };
    }

    synchronized @Nullable V get(K key) {
        return entries.get(key);
    }

    synchronized void put(K key, V value) {
        entries.put(key, value);
    }
}
