package dev.finetune4j.lora.objective;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.CausalLM;
import java.util.Map;
import java.util.Optional;

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
     * What is wrong with the rewards of the first step.
     *
     * @param metrics its means, taken before its update
     * @return empty when they are 0
     */
    Optional<String> problem(Map<String, Double> metrics, CausalLM reference) {
        if (!startsAsReference) {
            return Optional.empty();
        }
        double allowed = reference.placement().precision() == Precision.FP32 ? EXACT : ROUNDED;
        return metrics.entrySet().stream()
                .filter(metric -> metric.getKey().startsWith("rewards/")
                        && !metric.getKey().endsWith("accuracies")
                        && !(Math.abs(metric.getValue()) <= allowed))
                .map(metric -> "step 1: " + metric.getKey() + " is " + metric.getValue()
                        + " before anything was learned, but the model should answer as its reference then, which gives 0;"
                        + " the reference is not the model that the training started from")
                .findFirst();
    }
}
