package dev.finetune4j;

import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.lora.train.TrainingSettings;

/**
 * Fills in what the caller of a training left open and the library knows only when config.json and the data are read. The
 * trials behind the numbers are in docs/defaults.md.
 *
 * @param rate whether the learning rate was left open
 * @param length whether epochs and steps were left open
 */
record UsualSettings(boolean rate, boolean length) {
    private static final double WIDTH = 4096;
    private static final double EPOCHS = 3;
    private static final int FEWEST_STEPS = 60;
    private static final double INSANE = 20;
    /** Lion moves each number by the whole rate, its authors by a third to a tenth of AdamW's. */
    private static final double SHARE_OF_LION = 1.0 / 3;

    /**
     * The settings that a training runs with.
     *
     * @param tuning what the caller said, with any value where nothing was said
     * @param stepsPerEpoch optimizer steps of an epoch
     */
    TrainingSettings fill(FineTuning tuning, ModelConfig config, int stepsPerEpoch) {
        TrainingSettings.Builder filled = tuning.training().toBuilder();
        if (length) {
            // Few passes over the data, but of a small data set as many as a model needs to learn anything.
            filled.epochs(Math.max(EPOCHS, Math.ceil((double) FEWEST_STEPS / stepsPerEpoch)));
        }
        if (rate) {
            filled.learningRate(rate(tuning, config));
        }
        return filled.build();
    }

    /**
     * The usual peak learning rate. Narrow models stand and need a higher one for LoRA and for all weights, by the square root
     * of the width; virtual tokens and the factors of (IA)³ do not depend on it. Preferences take a tenth, and Lion a third.
     */
    static double rate(FineTuning tuning, ModelConfig config) {
        TuningMethod method = tuning.method();
        double share = tuning.training().optimizer() instanceof Optimizer.Lion ? SHARE_OF_LION : 1;
        double usual = method.usualRate() * tuning.objective().shareOfRate() * share;
        return method.dependsOnWidth() ? usual * Math.sqrt(WIDTH / config.hiddenSize()) : usual;
    }

    /** The peak learning rate above which no such training learns. */
    static double highestRate(FineTuning tuning, ModelConfig config) {
        return INSANE * rate(tuning, config);
    }
}
