package dev.finetune4j.core.text.jinja.python;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** What {@code cycler} makes: an object that gives its values in turn. */
public final class Cycler {
    private final List<@Nullable Object> items;
    private int place;

    public Cycler(List<@Nullable Object> items) {
        if (items.isEmpty()) {
            throw new TemplateError("a cycler needs at least one value");
        }
        this.items = items;
    }

    /** Null for one that it does not have. */
    @Nullable
    public Object attribute(String name) {
        return switch (name) {
            case "current" -> items.get(place);
            case "pos" -> (long) place;
            case "items" -> new Tuple(items);
            case "next" ->
                (PyCallable) arguments -> {
                    arguments.bindUnnamed("next", 0);
                    Object item = items.get(place);
                    place = (place + 1) % items.size();
                    return item;
                };
            case "reset" ->
                (PyCallable) arguments -> {
                    arguments.bindUnnamed("reset", 0);
                    place = 0;
                    return null;
                };
            default -> null;
        };
    }
}
