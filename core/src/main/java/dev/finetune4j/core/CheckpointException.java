package dev.finetune4j.core;

/**
 * A file of a model or adapter folder is missing, damaged, or does not say what the library can compute. The remedy is
 * to mend or replace the file that the message names.
 */
public class CheckpointException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    public CheckpointException(String message) {
        super(message);
    }

    public CheckpointException(String message, Throwable cause) {
        super(message, cause);
    }
}
