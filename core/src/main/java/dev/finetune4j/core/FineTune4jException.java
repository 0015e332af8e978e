package dev.finetune4j.core;

import org.jspecify.annotations.Nullable;

/**
 * The root of every exception that this library throws on purpose, other than {@link IllegalArgumentException} for a
 * wrong argument and {@link IllegalStateException} for a call on something that is closed.
 *
 * <p>A message says what was found, what was expected and what to do, and names the file, row, field or tensor.
 */
public class FineTune4jException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public FineTune4jException(String message) {
        super(message);
    }

    public FineTune4jException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
