package dev.finetune4j.benchmarks;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * Equal objects that are used in turn, so many that none is still in a cache of the processor when its turn comes again.
 *
 * <p>A model has far more weights than a cache holds: a benchmark that multiplies with one weight all the time would show a
 * speed that no model reaches.
 */
final class Rotation<T extends AutoCloseable> implements AutoCloseable {
    private final List<T> copies = new ArrayList<>();
    private int turn;

    /**
     * Makes at least one copy.
     *
     * @param bytes of one copy
     * @param mebibytes which all copies together take at least
     */
    Rotation(Supplier<T> copy, long bytes, int mebibytes) {
        do {
            copies.add(copy.get());
        } while (copies.size() * bytes < (long) mebibytes << 20);
    }

    T next() {
        turn = turn + 1 == copies.size() ? 0 : turn + 1;
        return copies.get(turn);
    }

    int size() {
        return copies.size();
    }

    @Override
    public void close() throws Exception {
        for (T copy : copies) {
            copy.close();
        }
        copies.clear();
    }
}
