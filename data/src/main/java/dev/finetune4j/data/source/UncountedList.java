package dev.finetune4j.data.source;

import java.util.AbstractList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.RandomAccess;
import java.util.Spliterator;
import java.util.Spliterators;

/**
 * A list that knows whether it has an item before it knows how many it has: its first items are there at once, and only {@link
 * #size} has to find all.
 */
public abstract class UncountedList<T> extends AbstractList<T> implements RandomAccess {
    /** Whether there is an item of that number. */
    public abstract boolean has(int index);

    /** Whether a list has an item of that number, which of most lists their size says. */
    public static boolean has(List<?> list, int index) {
        return list instanceof UncountedList<?> uncounted ? uncounted.has(index) : index < list.size();
    }

    /** The first items of a list, at most so many. */
    public static <T> List<T> first(List<T> list, int count) {
        return has(list, count) ? list.subList(0, count) : list;
    }

    @Override
    public boolean isEmpty() {
        return !has(0);
    }

    @Override
    public Iterator<T> iterator() {
        return new Iterator<>() {
            private int next;

            @Override
            public boolean hasNext() {
                return has(next);
            }

            @Override
            public T next() {
                if (!hasNext()) {
                    throw new NoSuchElementException();
                }
                return get(next++);
            }
        };
    }

    @Override
    public Spliterator<T> spliterator() {
        return Spliterators.spliteratorUnknownSize(iterator(), Spliterator.ORDERED | Spliterator.NONNULL);
    }

    @Override
    public List<T> subList(int from, int to) {
        if (to > 0 && !has(to - 1)) {
            throw new IndexOutOfBoundsException("there is no item " + (to - 1));
        }
        Objects.checkFromToIndex(from, to, to);
        UncountedList<T> whole = this;
        return new AbstractList<>() {
            @Override
            public T get(int index) {
                return whole.get(from + Objects.checkIndex(index, size()));
            }

            @Override
            public int size() {
                return to - from;
            }
        };
    }
}
