package dev.finetune4j;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What was chosen of checkpoints. Immutable.
 *
 * @param folder where they are written; null for none
 * @param settings when
 * @param resumes whether to go on from the latest one of the folder, if there is one
 * @param from the checkpoint, or the folder of checkpoints, that has to be gone on from; null for none
 */
record CheckpointChoice(
        @Nullable Path folder,
        TrainingSettings.CheckpointSettings settings,
        boolean resumes,
        @Nullable Path from) {

    /** Collects the choice; the builder of the facade sees to it that each call comes once. */
    static final class Builder {
        private final TrainingSettings.CheckpointSettings.Builder settings =
                TrainingSettings.CheckpointSettings.builder();
        private @Nullable Path folder;
        private @Nullable Path from;
        private boolean resumes;

        void into(Path chosen, Consumer<TrainingSettings.CheckpointSettings.Builder> options) {
            folder = chosen;
            options.accept(settings);
        }

        void resume() {
            resumes = true;
        }

        void resumeFrom(Path chosen) {
            from = chosen;
        }

        /** @param evaluates whether there are held-out examples */
        CheckpointChoice build(boolean evaluates) {
            TrainingSettings.CheckpointSettings chosen = settings.build();
            if (resumes && folder == null) {
                throw new SettingsException(
                        List.of("resume() goes on from the latest checkpoint of a folder, but none was given; call"
                                + " checkpoints(folder) too, or resumeFrom(folder) instead"));
            }
            if (chosen.keepBest() && !evaluates) {
                throw new SettingsException(List.of(
                        "keepBest(true) keeps the checkpoint with the lowest loss on held-out examples, but there are none;"
                                + " give them by evaluation(…)"));
            }
            return new CheckpointChoice(folder, chosen, resumes, from);
        }
    }
}
