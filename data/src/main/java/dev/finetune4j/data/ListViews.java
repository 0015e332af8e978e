package dev.finetune4j.data;

import java.util.AbstractList;
import java.util.List;
import java.util.RandomAccess;
import java.util.function.Function;

/** Lists whose items are made when they are asked for. Stateless. */
final class ListViews {
    private ListViews() {}

    static <T, R> List<R> mapped(List<T> items, Function<T, R> mapping) {
        return new View<>(items.size()) {
            @Override
            public R get(int index) {
                return mapping.apply(items.get(index));
            }
        };
    }

    /** @param indices not copied */
    static <T> List<T> chosen(List<T> items, int[] indices) {
        return new View<>(indices.length) {
            @Override
            public T get(int index) {
                return items.get(indices[index]);
            }
        };
    }

    private abstract static class View<T> extends AbstractList<T> implements RandomAccess {
        private final int size;

        View(int size) {
            this.size = size;
        }

        @Override
        public int size() {
            return size;
        }
    }
}
