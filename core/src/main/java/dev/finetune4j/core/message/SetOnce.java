package dev.finetune4j.core.message;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Which settings a builder was given, so that none silently takes the place of another. Not thread-safe. */
public final class SetOnce {
    private final Map<String, Object> values = new HashMap<>();

    /**
     * Notes a value that is set.
     *
     * @param name of the setting
     * @return the value
     * @throws IllegalStateException if the setting has a value already
     * @throws IllegalArgumentException if the value is null
     */
    public <T> T set(String name, @Nullable T value) {
        T given = Arguments.given(value, name + "(value)");
        Object earlier = values.putIfAbsent(name, given);
        if (earlier != null) {
            throw new IllegalStateException(name + " was already set to " + earlier + "; set it once");
        }
        return given;
    }

    /** Whether the setting was given a value. */
    public boolean isSet(String name) {
        return values.containsKey(name);
    }
}
