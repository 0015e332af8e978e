package dev.finetune4j.core.text.jinja.python;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Reads the {@code attribute} argument of filters: a name, a place, or a path of them such as {@code function.name}. */
public final class Attributes {
    private Attributes() {}

    /**
     * A function from an item to what the path leads to.
     *
     * @param path null for the item itself
     * @param otherwise in place of what is undefined on the way; null for nothing
     */
    public static Function<@Nullable Object, @Nullable Object> getter(
            @Nullable Object path, @Nullable Object otherwise) {
        List<Object> steps = steps(path);
        return item -> {
            Object value = item;
            Budget.charge(steps.size());
            for (Object step : steps) {
                value = Members.item(value, step);
                if (otherwise != null && value instanceof Undefined) {
                    value = otherwise;
                }
            }
            return value;
        };
    }

    /** As {@link #getter}, for comparing: text in lower case unless its case counts. */
    public static Function<@Nullable Object, @Nullable Object> key(
            @Nullable Object path, @Nullable Object otherwise, boolean caseCounts) {
        Function<@Nullable Object, @Nullable Object> getter = getter(path, otherwise);
        return caseCounts ? getter : item -> withoutCase(getter.apply(item));
    }

    /** As {@link #key} for several paths with commas between them; their values as a list. */
    public static Function<@Nullable Object, @Nullable Object> keys(@Nullable Object paths, boolean caseCounts) {
        List<Function<@Nullable Object, @Nullable Object>> getters = new ArrayList<>();
        if (paths instanceof String several) {
            Budget.allocate(32L * several.length());
            for (String path : several.split(",", -1)) {
                getters.add(key(path, null, caseCounts));
            }
        } else {
            getters.add(key(paths, null, caseCounts));
        }
        return item -> {
            Budget.charge(getters.size());
            Budget.allocate(8L * getters.size());
            List<@Nullable Object> keys = new ArrayList<>(getters.size());
            getters.forEach(getter -> keys.add(getter.apply(item)));
            return keys;
        };
    }

    public static @Nullable Object withoutCase(@Nullable Object value) {
        if (!(value instanceof String text)) {
            return value;
        }
        Budget.chargeText(text.length());
        Budget.allocate(2L * text.length());
        return PythonText.lower(text);
    }

    private static List<Object> steps(@Nullable Object path) {
        List<Object> steps = new ArrayList<>();
        if (path instanceof String names) {
            Budget.allocate(32L * names.length());
            for (String name : names.split("\\.", -1)) {
                boolean isPlace = !name.isEmpty() && name.chars().allMatch(c -> c >= '0' && c <= '9');
                Object place = isPlace ? Numbers.parseWhole(name, 10) : null;
                steps.add(place == null ? name : place);
            }
        } else if (path != null) {
            steps.add(path);
        }
        return steps;
    }
}
