package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.SettingsException;
import java.util.List;

/**
 * What the optimizer does differently for some of the parameters. Immutable; parameters whose groups are equal are moved
 * together.
 *
 * @param learningRateFactor factor on the learning rate of each step, above 0
 * @param weightDecay whether the weight decay of the training applies
 */
public record ParameterGroup(double learningRateFactor, boolean weightDecay) {
    public ParameterGroup {
        if (!(learningRateFactor > 0) || Double.isInfinite(learningRateFactor)) {
            throw new SettingsException(List.of("the learning rate factor of a parameter group must be above 0, but is "
                    + learningRateFactor + "; leave out of the training what is not to move"));
        }
    }

    /** The group of a parameter with which nothing is different. */
    public static ParameterGroup usual() {
        return new ParameterGroup(1, true);
    }
}
