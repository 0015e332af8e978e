package dev.finetune4j;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.objective.PreferenceLoss;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.checkpoint.SavedCheckpoint;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * All that {@link FineTuner.Builder} was told, collected part by part, and the {@link FineTuning} that the parts make together. A choice
 * that is made twice is an {@link IllegalStateException}. Not thread-safe.
 */
final class TuningChoices {
    private final SetOnce once = new SetOnce();
    final BaseChoice base = new BaseChoice(once);
    final MethodBuilder method = new MethodBuilder(once);
    final EncodingBuilder encoding = new EncodingBuilder(once);
    final ComputeBuilder compute = new ComputeBuilder(once);
    final CourseBuilder course = new CourseBuilder(once);
    private final Map<String, String> placeholders = new LinkedHashMap<>();
    private Supplier<TuningObjective> objective = () -> TuningObjective.SUPERVISED;
    private TrainingSettings.Builder training = TrainingSettings.builder();
    private @Nullable Supplier<Dataset> dataset;
    private @Nullable JsonNode repeated;

    void objective(String call, Supplier<PreferenceLoss> loss) {
        once.set("objective", call);
        objective = () -> new TuningObjective(call, loss.get());
    }

    /**
     * The examples.
     *
     * @param source names them in the message of a second call
     * @param examples asked once all settings are right
     */
    void dataset(Object source, Supplier<Dataset> examples) {
        once.set("dataset", source);
        dataset = examples;
    }

    void placeholder(String name, String value) {
        placeholders.put(name, once.set("placeholder " + name, value));
    }

    /** The settings of the training, to be filled. */
    TrainingSettings.Builder training() {
        return training;
    }

    /** Takes all settings of an earlier training. */
    void repeat(Path run) {
        Path file = Files.isDirectory(run) ? run.resolve(SavedCheckpoint.RUN) : run;
        repeated = JsonFile.object(file);
        RunRecord.Settings then = RunRecord.settings(file, repeated);
        method.repeat("that of " + file, then.method());
        once.set("objective", "that of " + file);
        objective = then::objective;
        encoding.repeat(then.encoding());
        training = then.training().toBuilder();
        compute.repeat(then.compute());
    }

    /** The data set, read. */
    Dataset examples() {
        Dataset examples = Objects.requireNonNull(dataset).get();
        return placeholders.isEmpty() ? examples : examples.bind(placeholders);
    }

    /** As {@link #tuning}, for a training: there is a data set too. */
    FineTuning withData() {
        return tuning(dataset == null ? List.of("no data set was chosen; call dataset(…)") : List.of());
    }

    /**
     * Checks all that was chosen together.
     *
     * @param missing what else is missing
     * @throws SettingsException naming all that is missing or cannot work together
     */
    FineTuning tuning(List<String> missing) {
        SettingsProblems found = new SettingsProblems();
        BaseSource model = base.source();
        if (model == null) {
            found.add("no model was chosen; call model(folder)");
        }
        TuningMethod plain = method.build(found);
        found.addAll(missing);
        found.addAll(base.problems(plain, method, encoding, compute));
        TuningMethod chosen = base.under(plain);
        TrainingSettings settings = found.collect(training::build);
        FineTuning.Encoding encoded = encoding.build(chosen, found);
        FineTuning.Compute computed = compute.build(base.placement(), found);
        FineTuning.Course accompanied = course.build(repeated, found);
        TuningObjective minimized = found.collect(objective);
        if (minimized != null) {
            found.addAll(minimized.problems(chosen, encoded));
        }
        if (model == null
                || chosen == null
                || minimized == null
                || settings == null
                || accompanied == null
                || !found.isEmpty()) {
            throw found.exception();
        }
        UsualSettings usual = new UsualSettings(
                repeated == null && !training.hasLearningRate(), repeated == null && !training.hasLength());
        return new FineTuning(model, base.loaded(), chosen, minimized, encoded, computed, settings, usual, accompanied);
    }
}
