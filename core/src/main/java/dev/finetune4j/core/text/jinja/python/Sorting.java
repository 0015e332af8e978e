package dev.finetune4j.core.text.jinja.python;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** A stable merge sort by {@code <} alone, which bears values without a proper order as Python's does. */
public final class Sorting {
    private Sorting() {}

    public static List<@Nullable Object> sorted(
            List<@Nullable Object> items, Function<@Nullable Object, @Nullable Object> key, boolean reverse) {
        Budget.allocate(64L * items.size());
        List<Keyed> keyed = new ArrayList<>(items.size());
        items.forEach(item -> keyed.add(new Keyed(key.apply(item), item)));
        if (reverse) {
            Collections.reverse(keyed);
        }
        List<@Nullable Object> sorted = new ArrayList<>(items.size());
        merged(keyed).forEach(entry -> sorted.add(entry.item()));
        if (reverse) {
            Collections.reverse(sorted);
        }
        return sorted;
    }

    private record Keyed(@Nullable Object key, @Nullable Object item) {}

    private static List<Keyed> merged(List<Keyed> items) {
        if (items.size() < 2) {
            return items;
        }
        int middle = items.size() / 2;
        List<Keyed> left = merged(items.subList(0, middle));
        List<Keyed> right = merged(items.subList(middle, items.size()));
        Budget.charge(items.size());
        List<Keyed> merged = new ArrayList<>(items.size());
        int i = 0;
        for (Keyed entry : right) {
            while (i < left.size() && !Comparisons.less(entry.key(), left.get(i).key(), "<")) {
                merged.add(left.get(i++));
            }
            merged.add(entry);
        }
        merged.addAll(left.subList(i, left.size()));
        return merged;
    }
}
