package dev.finetune4j.lora.objective;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/** Collects the settings of a loss that lie outside their ranges. */
final class Ranges {
    private final List<String> problems = new ArrayList<>();

    Ranges above(String name, double value, double bound) {
        if (!(value > bound) || Double.isInfinite(value)) {
            problems.add(name + " must be above " + bound + ", but is " + value);
        }
        return this;
    }

    /** From {@code low} to below {@code high}. */
    Ranges within(String name, double value, double low, double high) {
        if (!(value >= low && value < high)) {
            problems.add(name + " must be at least " + low + " and below " + high + ", but is " + value);
        }
        return this;
    }

    /** @throws SettingsException naming every value out of its range */
    void check() {
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }
}
