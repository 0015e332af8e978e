package dev.finetune4j.lora.train;

import java.nio.file.Path;

/**
 * Watches a training, and may steer it by the {@link Control} that it is handed. All methods do nothing by default and are called
 * on the training thread; what they throw is logged and does not stop the training. A slow listener slows the training.
 */
public interface TrainingListener {
    /** What a training is doing. */
    enum Phase {
        /** Looks up a base that was not given as a folder, and downloads it where that is needed and allowed. */
        FETCHING_MODEL,
        /** Checks the settings and encodes the examples. */
        READING_DATA,
        /** Reads the base's weights, quantizes them where that was chosen, and makes the adapter. */
        LOADING_MODEL,
        /** Does optimizer steps. */
        TRAINING,
        /** Measures the loss on the held-out examples. */
        EVALUATING,
        /** Writes what is trained so far. */
        SAVING,
        /** Measures after the last step what came of the training. */
        CHECKING,
        /** Has ended, well or badly. */
        ENDED
    }

    /**
     * Steers a training between two steps. It works on the training thread while the call lasts that it was handed to; later, its methods
     * throw {@link IllegalStateException}.
     */
    interface Control {
        /** Ends the training after this step with what is trained by now; its report says {@code STOPPED}. */
        void stop();

        /**
         * Measures the loss on the held-out examples now, and tells it to all listeners. A second call after the same step
         * returns the first one's result.
         *
         * @throws IllegalStateException when there are no held-out examples ({@code FineTuner.Builder.evaluation})
         */
        TrainingReport.Evaluation evaluate();

        /**
         * Writes what is trained by now, as {@code FineTunedModel.save} does afterwards: an adapter in PEFT's format, after full
         * fine-tuning the model with weights of its computation's number format.
         *
         * @param folder made if absent; what was there is replaced as a whole, or stays when writing fails
         * @throws dev.finetune4j.core.FineTune4jException when the folder cannot be written; the training goes on unless {@link #stop}
         *     is called
         */
        void save(Path folder);

        /**
         * Takes a checkpoint of this step once all listeners were told of it, beside those that are due.
         *
         * @throws IllegalStateException when the training has no folder for checkpoints ({@code FineTuner.Builder.checkpoints})
         */
        void checkpoint();
    }

    /** Called when a phase begins; between two steps the training may evaluate or save, and goes on {@code TRAINING}. */
    default void onPhase(Phase phase) {}

    /**
     * Called once before the first step.
     *
     * @param totalSteps optimizer steps that will be done
     * @param trainableParameters number of values that will be trained
     */
    default void onStart(int totalSteps, long trainableParameters) {}

    /**
     * Called after {@link #onStart} when the training goes on from a checkpoint, so that who counts or compares takes up what was
     * before. Steps that were done after the checkpoint are done, and told, again.
     */
    default void onResume(TrainingReport.History before) {}

    /** Called after each optimizer step. */
    default void onStep(StepReport report, Control control) {}

    /**
     * Called for a step that trained nothing because its loss or gradients were no numbers, in the place of {@link #onStep}. Unless
     * {@link TrainingSettings#maxSkippedSteps} allows to skip it, the training then ends with a {@link TrainingException}.
     */
    default void onNonFinite(TrainingReport.NonFinite step) {}

    /** Called after each evaluation of the held-out examples. */
    default void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {}

    /**
     * Called when a checkpoint is written, or could not be written, which does not end the training. Since it is written while the
     * training goes on, that may be some steps later.
     */
    default void onCheckpoint(TrainingReport.Checkpoint checkpoint) {}

    /** Called once after the last step or after a cancellation; not when the training fails. */
    default void onEnd(TrainingReport report) {}
}
