package dev.finetune4j.core.message;

import org.jspecify.annotations.Nullable;

/** Checks what a caller passes to a public method. Stateless. */
public final class Arguments {
    private Arguments() {}

    /**
     * A value that must be there.
     *
     * @param name how the method and its argument are called, such as {@code dataset(file)}
     * @throws IllegalArgumentException if it is null
     */
    public static <T> T given(@Nullable T value, String name) {
        if (value == null) {
            throw new IllegalArgumentException(name + " must not be null; give a value or leave the call out");
        }
        return value;
    }

    /**
     * A number that must not be too small.
     *
     * @param name of the setting
     * @throws IllegalArgumentException if it is below the least
     */
    public static int atLeast(int least, int value, String name) {
        if (value < least) {
            throw new IllegalArgumentException(name + " must be at least " + least + ", but was " + value);
        }
        return value;
    }
}
