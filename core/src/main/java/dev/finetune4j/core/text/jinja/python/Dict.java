package dev.finetune4j.core.text.jinja.python;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/** A map in the order of insertion whose keys are compared as Python compares them. */
public final class Dict {
    /**
     * A key as it was first given, and its value.
     *
     * @param key given
     * @param value held
     */
    private record Entry(@Nullable Object key, @Nullable Object value) {}

    /** What an entry takes, with its key. */
    private static final int ENTRY_BYTES = 128;

    private final Map<Key, Entry> entries = new LinkedHashMap<>();

    public int size() {
        return entries.size();
    }

    public boolean has(@Nullable Object key) {
        return entries.containsKey(Values.hashKey(key));
    }

    /** The value of a key, or what stands in for a missing one. */
    @Nullable
    public Object get(@Nullable Object key, @Nullable Object missing) {
        Entry entry = entries.get(Values.hashKey(key));
        return entry == null ? missing : entry.value();
    }

    public void put(@Nullable Object key, @Nullable Object value) {
        Key hashed = Values.hashKey(key);
        Budget.allocate(ENTRY_BYTES);
        Entry old = entries.get(hashed);
        entries.put(hashed, new Entry(old == null ? key : old.key(), value));
    }

    public void putAll(Dict other) {
        other.forEach(this::put);
    }

    public void forEach(BiConsumer<@Nullable Object, @Nullable Object> action) {
        entries.values().forEach(entry -> action.accept(entry.key(), entry.value()));
    }

    public List<@Nullable Object> keys() {
        Budget.charge(size());
        List<@Nullable Object> keys = new ArrayList<>(size());
        forEach((key, value) -> keys.add(key));
        return keys;
    }

    public List<@Nullable Object> values() {
        Budget.charge(size());
        List<@Nullable Object> values = new ArrayList<>(size());
        forEach((key, value) -> values.add(value));
        return values;
    }

    /** The entries as tuples. */
    public List<@Nullable Object> items() {
        Budget.charge(size());
        Budget.allocate((long) ENTRY_BYTES * size());
        List<@Nullable Object> items = new ArrayList<>(size());
        forEach((key, value) -> items.add(Tuple.of(key, value)));
        return items;
    }

    public Dict copy() {
        Budget.charge(size());
        Budget.allocate((long) ENTRY_BYTES * size());
        Dict copy = new Dict();
        copy.entries.putAll(entries);
        return copy;
    }
}
