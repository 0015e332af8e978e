package dev.finetune4j;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.plan.MemoryPlanner;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The choices of a fine-tuning that decide how much memory it takes.
 *
 * @param device null for the best one
 * @param precision null for the device's usual one
 * @param batchSize examples of a batch
 * @param activations null to let the plan decide
 */
record TrainingPlan(
        Path model,
        TuningMethod method,
        @Nullable ComputeDevice device,
        @Nullable Precision precision,
        int batchSize,
        @Nullable ActivationCheckpointing activations) {
    private static final int USUAL_LENGTH = 2048;

    /** The plan of full batches of the longest examples that are allowed. */
    MemoryPlan longest(int maxLength) {
        ModelFiles directory = ModelFiles.open(model);
        int tokens = longestExample(method, ModelLoader.readConfig(directory), maxLength);
        return plan(directory, batchSize, tokens);
    }

    /** The plan of the batches of a data set. */
    MemoryPlan of(int examples, int longest) {
        return plan(ModelFiles.open(model), Math.max(1, Math.min(batchSize, examples)), longest);
    }

    private MemoryPlan plan(ModelFiles directory, int rows, int tokens) {
        ComputeDevice chosen = device == null ? ComputeDevice.best() : device;
        DeviceMemory memory = DeviceMemory.of(chosen);
        TuningMethod.@Nullable WithAdapter adapted = method instanceof TuningMethod.WithAdapter found ? found : null;
        MemoryPlanner planner = MemoryPlanner.of(
                directory,
                adapted == null ? null : adapted.quantization(),
                adapted == null ? null : adapted.settings(),
                LanguageModel.placement(chosen, precision, adapted == null));
        return activations == null
                ? planner.choose(rows, tokens, memory)
                : planner.plan(rows, tokens, activations, memory);
    }

    /** How many tokens an example may have. */
    static int longestExample(TuningMethod method, ModelConfig config, int maxLength) {
        int virtual = method instanceof TuningMethod.WithAdapter adapted
                ? adapted.settings().virtualTokens()
                : 0;
        int room = config.maxPositions() - virtual;
        if (room < 2) {
            throw new SettingsException(
                    List.of(virtual + " virtual tokens leave no room for an example: the model was made" + " for "
                            + config.maxPositions() + " tokens; use fewer"));
        }
        return Math.min(room, maxLength > 0 ? maxLength : USUAL_LENGTH);
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
