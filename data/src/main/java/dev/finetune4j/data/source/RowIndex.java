package dev.finetune4j.data.source;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * Where the rows of a file begin, found as far as somebody asks: the first rows are there at once, however large the file is.
 *
 * <p>Thread-safe.
 */
final class RowIndex {
    private final Offsets offsets;
    /** Null once it has seen the end. */
    private @Nullable RowScanner scanner;

    /**
     * Knows nothing yet.
     *
     * @param offsets where the scanner puts what it finds
     */
    RowIndex(Offsets offsets, RowScanner scanner) {
        this.offsets = offsets;
        this.scanner = scanner;
    }

    /** Knows all. */
    RowIndex(Offsets offsets) {
        this.offsets = offsets;
    }

    /**
     * Whether there is an offset of that number.
     *
     * @throws IOException if the file cannot be read that far
     * @throws IllegalArgumentException if it has more rows than can be told apart
     */
    boolean has(int place) throws IOException {
        while (true) {
            // Let go in between, so that who knows the place of a row does not wait for who counts all.
            synchronized (this) {
                if (place < offsets.size() || !scan()) {
                    return place < offsets.size();
                }
            }
        }
    }

    private boolean scan() throws IOException {
        RowScanner scanning = scanner;
        if (scanning != null && !scanning.advance()) {
            scanner = null;
        }
        return scanning != null;
    }

    /** How many it knows; of a file that was looked at as a whole, the last of them is the end. */
    synchronized int count() {
        return offsets.size();
    }

    /** An offset that it {@linkplain #has has}. */
    synchronized long get(int place) {
        return offsets.get(place);
    }
}
