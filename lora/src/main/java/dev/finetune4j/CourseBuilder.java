package dev.finetune4j;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Collects what is chosen of what accompanies the training, and builds the {@link FineTuning.Course}. Not thread-safe. */
final class CourseBuilder {
    private final SetOnce once;
    private final List<String> problems = new ArrayList<>();
    private final List<TrainingListener> listeners = new ArrayList<>();
    private final List<EvalTask> exams = new ArrayList<>();
    private final CheckpointChoice.Builder checkpoints = new CheckpointChoice.Builder();
    private @Nullable Dataset heldOut;
    private @Nullable Duration timeLimit;

    /** @param once the builder's calls so far */
    CourseBuilder(SetOnce once) {
        this.once = once;
    }

    void listener(TrainingListener listener) {
        listeners.add(listener);
    }

    void exam(EvalTask task) {
        exams.add(task);
    }

    void evaluation(Dataset examples) {
        heldOut = once.set("evaluation", examples);
    }

    void timeLimit(Duration limit) {
        timeLimit = once.set("timeLimit", limit);
        if (limit.isNegative() || limit.isZero()) {
            problems.add("timeLimit must be above 0, but is " + limit);
        }
    }

    void checkpoints(Path folder, Consumer<TrainingSettings.CheckpointSettings.Builder> options) {
        checkpoints.into(once.set("checkpoints", folder), options);
    }

    void resume() {
        once.set("resume", "the latest checkpoint");
        checkpoints.resume();
    }

    void resumeFrom(Path folder) {
        checkpoints.resumeFrom(once.set("resume", folder));
    }

    /**
     * What accompanies the training; null when it cannot work.
     *
     * @param repeated the record of the training that it repeats; null for none
     * @param found takes the reasons
     */
    FineTuning.@Nullable Course build(@Nullable JsonNode repeated, SettingsProblems found) {
        found.addAll(problems);
        CheckpointChoice chosen = found.collect(() -> checkpoints.build(heldOut != null));
        return chosen == null ? null : new FineTuning.Course(listeners, heldOut, exams, timeLimit, chosen, repeated);
    }
}
