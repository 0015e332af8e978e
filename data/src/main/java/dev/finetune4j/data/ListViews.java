package dev.finetune4j.data;

import dev.finetune4j.data.source.UncountedList;
import java.util.AbstractList;
import java.util.Arrays;
import java.util.List;
import java.util.RandomAccess;
import java.util.function.Function;

/** Lists whose items are made when they are asked for. Stateless. */
final class ListViews {
    private ListViews() {}

    static <T, R> List<R> mapped(List<T> items, Function<T, R> mapping) {
        return new UncountedList<>() {
            @Override
            public boolean has(int index) {
                return has(items, index);
            }

            @Override
            public R get(int index) {
                return mapping.apply(items.get(index));
            }

            @Override
            public int size() {
                return items.size();
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

    /** @throws IllegalArgumentException if they are more than a list can have */
    static <T> List<T> concat(List<List<T>> lists) {
        int[] ends = new int[lists.size()];
        long size = 0;
        for (int i = 0; i < ends.length; i++) {
            size += lists.get(i).size();
            if (size > Integer.MAX_VALUE) {
                throw new IllegalArgumentException("there are more than 2^31 examples, the limit of a data set");
            }
            ends[i] = (int) size;
        }
        return new View<>((int) size) {
            @Override
            public T get(int index) {
                int found = Arrays.binarySearch(ends, index + 1);
                int list = found >= 0 ? found : -found - 1;
                while (lists.get(list).isEmpty()) {
                    list++;
                }
                return lists.get(list).get(index - (list == 0 ? 0 : ends[list - 1]));
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
