package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.TensorData;
import java.util.Map;
import java.util.TreeMap;

/** Compares numbers with those of the reference and keeps the largest error of each quantity. Confined to one thread. */
final class Closeness {
    private final Map<String, Double> largest = new TreeMap<>();

    /** The largest error so far by quantity. */
    Map<String, Double> largest() {
        return largest;
    }

    void add(Closeness other) {
        other.largest.forEach(this::note);
    }

    /** Compares by the largest difference over the largest expected size. */
    void relative(String quantity, String where, float[] expected, float[] actual, double allowed) {
        double error = TensorData.relativeError(expected, actual);
        note(quantity + " (relative)", error);
        assertTrue(
                error <= allowed,
                () -> quantity + " of " + where + ": relative error " + error + ", allowed " + allowed);
    }

    void absolute(String quantity, String where, double expected, double actual, double allowed) {
        // Equal infinities differ by no number.
        double error = Double.compare(expected, actual) == 0 ? 0 : Math.abs(expected - actual);
        note(quantity, error);
        assertTrue(
                error <= allowed,
                () -> quantity + " of " + where + ": expected " + expected + ", got " + actual + ", a difference of "
                        + error + ", allowed " + allowed);
    }

    private void note(String quantity, double error) {
        largest.merge(quantity, error, Math::max);
    }
}
