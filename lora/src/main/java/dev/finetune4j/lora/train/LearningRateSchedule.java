package dev.finetune4j.lora.train;

/**
 * How the learning rate moves over a training: warm-up from zero, then one of three courses. The values are those of the
 * schedules of the same names in transformers.
 */
public enum LearningRateSchedule {
    /** Stays at the peak. */
    CONSTANT,
    /** Falls in a straight line towards zero, which it would reach one step after the last. */
    LINEAR,
    /** Falls along half a cosine towards zero, which it would reach one step after the last. */
    COSINE;

    /**
     * The factor on the peak learning rate.
     *
     * @param step the optimizer step, from 0
     * @param warmupSteps steps over which the factor rises from 0 to 1
     * @param totalSteps all steps of the training
     * @return from 0 to 1
     */
    public double factor(int step, int warmupSteps, int totalSteps) {
        if (step < warmupSteps) {
            return (double) step / Math.max(1, warmupSteps);
        }
        double progress = (double) (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
        return switch (this) {
            case CONSTANT -> 1;
            case LINEAR -> Math.max(0, 1 - progress);
            case COSINE -> Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
        };
    }
}
