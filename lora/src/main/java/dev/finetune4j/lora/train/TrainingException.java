package dev.finetune4j.lora.train;

import dev.finetune4j.core.FineTune4jException;

/**
 * A training cannot go on, for example because the loss is no longer a number. The message says what to change.
 * The facade then closes the model that was being trained.
 */
public class TrainingException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    public TrainingException(String message) {
        super(message);
    }
}
