package dev.finetune4j.examples.task;

import dev.finetune4j.core.SettingsException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Asks a task for numbers within their ranges, and refuses others by the name of the key. Stateless. */
final class Demands {
    private Demands() {}

    /** The whole number of a key that has a default. */
    static int atLeast(TaskFile task, String key, int least) {
        int value = task.integer(key).orElse(least);
        if (value < least) {
            task.refuse(key, "is " + value + "; expected " + least + " or more");
            return least;
        }
        return value;
    }

    /** The number of a key that has a default. */
    static double notNegative(TaskFile task, String key) {
        double value = task.number(key).orElse(0.0);
        if (!(value >= 0) || Double.isInfinite(value)) {
            task.refuse(key, "is " + value + "; expected 0 or more");
            return 0;
        }
        return value;
    }

    /** The number of a key that has a default. */
    static double aboveZero(TaskFile task, String key) {
        double value = task.number(key).orElse(1.0);
        if (!(value > 0) || Double.isInfinite(value)) {
            task.refuse(key, "is " + value + "; expected a number above 0");
            return 1;
        }
        return value;
    }

    /** The share of a key that has a default: at least 0 and below 1. */
    static double share(TaskFile task, String key) {
        double value = task.number(key).orElse(0.0);
        if (!(value >= 0 && value < 1)) {
            task.refuse(key, "is " + value + "; expected at least 0 and below 1");
            return 0;
        }
        return value;
    }

    /** Makes settings of the library; what it finds wrong with them is refused under the key. */
    static <T> @Nullable T made(TaskFile task, String key, Supplier<T> settings) {
        try {
            return settings.get();
        } catch (SettingsException e) {
            e.problems().forEach(problem -> task.refuse(key, problem));
            return null;
        }
    }

    /** Notes that keys were given which count with another choice only. */
    static void onlyCounts(TaskFile task, String with, String... keys) {
        for (String key : keys) {
            if (task.isChanged(key)) {
                task.note(key, "ignored; only counts with " + with);
            }
        }
    }
}
