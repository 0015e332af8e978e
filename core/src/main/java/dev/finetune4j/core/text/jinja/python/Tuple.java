package dev.finetune4j.core.text.jinja.python;

import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A list that is written with round brackets, equals no list, and can be a key.
 *
 * @param items never changed
 * @param isGroup whether it is what {@code groupby} gives, of which the items have names
 */
public record Tuple(List<@Nullable Object> items, boolean isGroup) {
    public static Tuple of(@Nullable Object... items) {
        return new Tuple(Arrays.asList(items), false);
    }

    public Tuple(List<@Nullable Object> items) {
        this(items, false);
    }

    /** What {@code groupby} gives: a key and the items that have it. */
    public static Tuple group(@Nullable Object key, List<@Nullable Object> items) {
        return new Tuple(Arrays.asList(key, items), true);
    }

    /** A part of a group by its name; null if it has none of this name. */
    @Nullable
    public Object part(String name) {
        return !isGroup ? null : name.equals("grouper") ? items.get(0) : name.equals("list") ? items.get(1) : null;
    }
}
