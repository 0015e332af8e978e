package dev.finetune4j.lora.reference;

import java.nio.file.Path;
import java.util.List;

/**
 * One comparison with the reference.
 *
 * @param kind the part of the collection that it belongs to, such as {@code models}
 * @param name tells it from the others of its kind
 * @param files what it may read; some of them need not exist
 * @param check fails when the numbers differ
 */
record ReferenceCase(String kind, String name, List<Path> files, Check check) {
    /** Compares, and notes in what it is given how close the numbers are. */
    @FunctionalInterface
    interface Check {
        void run(Closeness closeness) throws Exception;
    }

    @Override
    public String toString() {
        return kind + " " + name;
    }
}
