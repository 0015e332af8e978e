package dev.finetune4j.core.text.jinja;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** The items that pass a test, found one by one when they are asked for. */
final class Filtered implements Iterator<@Nullable Object> {
    private final Iterator<@Nullable Object> items;
    private final Predicate<@Nullable Object> test;
    private @Nullable Object found;
    private boolean hasFound;

    Filtered(Iterator<@Nullable Object> items, Predicate<@Nullable Object> test) {
        this.items = items;
        this.test = test;
    }

    @Override
    public boolean hasNext() {
        while (!hasFound && items.hasNext()) {
            Object item = items.next();
            if (test.test(item)) {
                found = item;
                hasFound = true;
            }
        }
        return hasFound;
    }

    @Override
    public @Nullable Object next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        hasFound = false;
        return found;
    }
}
