package dev.finetune4j.examples.task;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A value as it stands in a task file or in an argument.
 *
 * @param content a {@link String} for a scalar, a {@link List} or a {@link Map} of the same, or null for null
 * @param place where it stands, such as {@code line 12}
 */
record TaskValue(@Nullable Object content, String place) {
    /** What a place in the file begins with. */
    static final String LINE = "line ";

    /** As a person would write it. */
    String text() {
        return String.valueOf(content);
    }
}
