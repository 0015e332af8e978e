package dev.finetune4j.lora.objective;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.lora.train.TrainingException;
import java.util.Map;

/**
 * Checks that a training which starts as its reference does: before the first update no answer has a reward. A policy that is
 * compared with another model than the one it started from would be pulled towards that.
 *
 * @param startsAsReference whether this can be told; if not, nothing is checked
 */
public record StartCheck(boolean startsAsReference) {
    /** Nothing is checked. */
    static final StartCheck NONE = new StartCheck(false);

    private static final double EXACT = 1e-3;
    /** Where the same sums are rounded in another order, to three digits. */
    private static final double ROUNDED = 0.2;

    /**
     * Checks the rewards of the first step.
     *
     * @param metrics its means, taken before its update
     * @throws TrainingException when they are not 0
     */
    void check(Map<String, Double> metrics, CausalLM reference) {
        if (!startsAsReference) {
            return;
        }
        double allowed = reference.placement().precision() == Precision.FP32 ? EXACT : ROUNDED;
        metrics.forEach((name, value) -> {
            if (name.startsWith("rewards/") && !name.endsWith("accuracies") && !(Math.abs(value) <= allowed)) {
                throw new TrainingException("step 1: " + name + " is " + value
                        + " before anything was learned, but the model should answer as its reference then, which gives 0;"
                        + " the reference is not the model that the training started from");
            }
        });
    }
}
