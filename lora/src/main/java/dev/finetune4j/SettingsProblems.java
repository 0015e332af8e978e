package dev.finetune4j;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What is wrong with the settings of a fine-tuning, collected so that all of it is said at once. Not thread-safe. */
final class SettingsProblems {
    private final List<String> found = new ArrayList<>();

    void add(String problem) {
        found.add(problem);
    }

    void addAll(List<String> problems) {
        found.addAll(problems);
    }

    /** The supplier's settings, or null when they cannot work and the reasons have joined the others. */
    <T> @Nullable T collect(Supplier<T> settings) {
        try {
            return settings.get();
        } catch (SettingsException e) {
            found.addAll(e.problems());
            return null;
        }
    }

    boolean isEmpty() {
        return found.isEmpty();
    }

    /** One that names them all. */
    SettingsException exception() {
        return new SettingsException(found);
    }
}
