package dev.finetune4j.lora.train;

import dev.finetune4j.core.FineTune4jException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A training cannot go on, for example because the loss is no longer a number. The message says what to change.
 * The facade then closes the model that was being trained.
 */
public class TrainingException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    private final transient TrainingReport.@Nullable NonFinite nonFinite;

    public TrainingException(String message) {
        super(message);
        nonFinite = null;
    }

    /** @param nonFinite the step that ended the training */
    public TrainingException(String message, TrainingReport.NonFinite nonFinite) {
        super(message);
        this.nonFinite = nonFinite;
    }

    /** The step whose loss or gradients were no numbers, with its examples; empty when something else ended the training. */
    public Optional<TrainingReport.NonFinite> nonFinite() {
        return Optional.ofNullable(nonFinite);
    }
}
