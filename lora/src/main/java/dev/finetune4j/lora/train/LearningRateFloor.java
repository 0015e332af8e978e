package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import java.util.List;

/**
 * The lowest learning rate of a schedule, as a learning rate or as a share of the peak. Immutable. transformers calls
 * them {@code min_lr} and {@code min_lr_rate}.
 *
 * @param value 0 or more
 * @param shareOfPeak whether {@code value} is a share of the peak and not a learning rate
 */
public record LearningRateFloor(double value, boolean shareOfPeak) {
    public LearningRateFloor {
        if (!(value >= 0) || Double.isInfinite(value) || (shareOfPeak && value > 1)) {
            throw new SettingsException(List.of("the lowest learning rate must be "
                    + (shareOfPeak ? "a share of the peak from 0 to 1" : "0 or more") + ", but is " + value));
        }
    }

    /** A learning rate such as 1e-6. */
    public static LearningRateFloor rate(double learningRate) {
        return new LearningRateFloor(learningRate, false);
    }

    /** A share of the peak such as 0.1. */
    public static LearningRateFloor share(double share) {
        return new LearningRateFloor(share, true);
    }

    double shareOf(double peak) {
        return shareOfPeak ? value : value / peak;
    }

    /** Maps a factor between 0 and 1 to one between this floor and 1. */
    double raise(double factor, double peak) {
        double share = shareOf(peak);
        return Math.max(0, factor * (1 - share) + share);
    }

    List<String> problems(double peak) {
        return shareOf(peak) <= 1
                ? List.of()
                : List.of("the lowest learning rate of the schedule, " + value + ", is above the learning rate of "
                        + peak + "; lower it, or give it as a share of the peak");
    }
}
