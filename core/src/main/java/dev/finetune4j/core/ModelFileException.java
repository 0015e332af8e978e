package dev.finetune4j.core;

/**
 * A file of a model or adapter folder is missing, damaged, or does not say what the library can compute. The remedy is
 * to mend or replace the file that the message names.
 */
public class ModelFileException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    public ModelFileException(String message) {
        super(message);
    }

    public ModelFileException(String message, Throwable cause) {
        super(message, cause);
    }
}
