package dev.finetune4j;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.plan.estimate.MemoryPlanner;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Plans the batches of a fine-tuning: how long examples may be, and how much memory they take.
 *
 * @param folder of the base
 * @param device on which it trains
 */
record TrainingPlan(FineTuning tuning, PretrainedFolder folder, ComputeDevice device) {
    private static final int USUAL_LENGTH = 2048;

    /** Opens the folder of the base, for a plan without a training. */
    static TrainingPlan open(FineTuning tuning) {
        return new TrainingPlan(
                tuning, PretrainedFolder.open(tuning.model()), tuning.compute().chosenDevice());
    }

    /** The plan of full batches of the longest examples that are allowed. */
    MemoryPlan longest() {
        return plan(tuning.training().batchSize(), longestExample());
    }

    /** The plan of the batches of a data set. */
    MemoryPlan of(int examples, int longest) {
        return plan(Math.max(1, Math.min(tuning.training().batchSize(), examples)), longest);
    }

    private MemoryPlan plan(int rows, int tokens) {
        DeviceMemory memory = DeviceMemory.of(device);
        TuningMethod method = tuning.method();
        MemoryPlanner planner = MemoryPlanner.of(
                folder,
                method.quantization(),
                method.adapter(),
                LanguageModel.placement(device, tuning.compute().precision(), method.adapter() == null));
        ActivationCheckpointing activations = tuning.compute().activationCheckpointing();
        return activations == null
                ? planner.choose(rows, tokens, memory)
                : planner.plan(rows, tokens, activations, memory);
    }

    /** How many tokens an example may have. */
    int longestExample() {
        int virtual = tuning.method().virtualTokens();
        int room = folder.config().maxPositions() - virtual;
        if (room < 2) {
            throw new SettingsException(
                    List.of(virtual + " virtual tokens leave no room for an example: the model was made" + " for "
                            + folder.config().maxPositions() + " tokens; use fewer"));
        }
        int limit = tuning.encoding().maxSequenceLength();
        return Math.min(room, limit > 0 ? limit : USUAL_LENGTH);
    }

    /** The same exception, with the plan's advice where memory ran out. */
    static RuntimeException advised(RuntimeException thrown, @Nullable MemoryPlan plan) {
        // A refusal by the plan has its advice already, and more.
        return thrown instanceof OutOfDeviceMemoryException out
                        && plan != null
                        && !out.advice().startsWith(plan.advice())
                ? out.withAdvice(plan.advice())
                : thrown;
    }
}
