package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.SetOnce;
import java.util.ArrayList;
import java.util.List;

/**
 * When a training writes checkpoints, and how many of them stay. Immutable.
 *
 * @param saveSteps optimizer steps between two checkpoints; 0 for the end of each epoch. The last step has one in any case
 * @param saveTotalLimit how many of the latest checkpoints stay; 0 for all
 * @param saveOnStop whether a training that is stopped writes one before it ends
 * @param keepBest whether an evaluation with a new lowest loss writes a checkpoint too, and the best one stays beside the latest
 */
public record CheckpointSettings(int saveSteps, int saveTotalLimit, boolean saveOnStop, boolean keepBest) {
    public CheckpointSettings {
        List<String> problems = new ArrayList<>();
        if (saveSteps < 0) {
            problems.add("saveSteps must be 0 (at the end of each epoch) or more, but is " + saveSteps);
        }
        if (saveTotalLimit < 0) {
            problems.add("saveTotalLimit must be 0 (all checkpoints stay) or more, but is " + saveTotalLimit);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Starts with a checkpoint at the end of each epoch and on a stop, of which the latest three stay. */
    public static Builder builder() {
        return new Builder();
    }

    /** Collects the settings. Each is set once; a second call is an {@link IllegalStateException}. Not thread-safe. */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private int saveSteps;
        private int saveTotalLimit = 3;
        private boolean saveOnStop = true;
        private boolean keepBest;

        private Builder() {}

        /** Optimizer steps between two checkpoints; by default the steps of an epoch. */
        public Builder saveSteps(int value) {
            saveSteps = once.set("saveSteps", value);
            return this;
        }

        /** How many of the latest checkpoints stay, 0 for all; 3 by default, so that a damaged one is no loss. */
        public Builder saveTotalLimit(int value) {
            saveTotalLimit = once.set("saveTotalLimit", value);
            return this;
        }

        /** Whether a training that is stopped writes a checkpoint before it ends; on by default. */
        public Builder saveOnStop(boolean value) {
            saveOnStop = once.set("saveOnStop", value);
            return this;
        }

        /**
         * Whether an evaluation of the held-out examples with a new lowest loss writes a checkpoint too, and the best one stays beside the
         * latest; off by default. Needs {@code FineTuner.Builder.evaluation}.
         */
        public Builder keepBest(boolean value) {
            keepBest = once.set("keepBest", value);
            return this;
        }

        /**
         * The settings.
         *
         * @throws SettingsException naming every value that cannot work
         */
        public CheckpointSettings build() {
            return new CheckpointSettings(saveSteps, saveTotalLimit, saveOnStop, keepBest);
        }
    }
}
