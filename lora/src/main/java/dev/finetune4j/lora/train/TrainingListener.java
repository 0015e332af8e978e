package dev.finetune4j.lora.train;

/**
 * Watches a training. All methods do nothing by default, are called on the training thread, and cannot steer; what they
 * throw is logged and does not stop the training. A slow listener slows the training.
 */
public interface TrainingListener {
    /**
     * Called once before the first step.
     *
     * @param totalSteps optimizer steps that will be done
     * @param trainableParameters number of values that will be trained
     */
    default void onStart(int totalSteps, long trainableParameters) {}

    /** Called after each optimizer step. */
    default void onStep(StepReport report) {}

    /** Called once after the last step or after a cancellation. */
    default void onEnd(TrainingReport report) {}
}
