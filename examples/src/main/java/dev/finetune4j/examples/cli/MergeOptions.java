package dev.finetune4j.examples.cli;

import dev.finetune4j.MergeSettings;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.hub.ModelSource;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Which model is written, with which adapters merged into it: as the options say, and for what they leave open a task file. */
final class MergeOptions {
    @CommandLine.Mixin
    private NamedModel named = new NamedModel();

    @CommandLine.Option(
            names = "--adapter",
            paramLabel = "PATH",
            description = "An adapter in PEFT's format; of several the sum is merged.")
    private List<Path> adapters = List.of();

    @CommandLine.Option(
            names = "--output",
            paramLabel = "PATH",
            description = "A folder, for GGUF a file; made if absent. A task file says it as export_dir.")
    private @Nullable Path target;

    @CommandLine.Option(
            names = "--precision",
            description = "Of the numbers of safetensors: ${COMPLETION-CANDIDATES}; BF16 by default.")
    private @Nullable Precision precision;

    @CommandLine.Option(
            names = "--template",
            description = "A chat template by name; that of the training, or the model's own by default.")
    private @Nullable String template;

    @CommandLine.Option(
            names = "--allow-four-bit",
            description = "Merge even into a checkpoint in 4 bits, whose rounding the merged model keeps.")
    private boolean fourBit;

    @CommandLine.Option(
            names = "--prompt",
            paramLabel = "TEXT",
            description = "Compare on this question instead of the usual four; may be repeated.")
    private List<String> prompts = List.of();

    @CommandLine.Option(
            names = "--no-comparison",
            description = "Write without comparing, which reads all weights twice.")
    private boolean noComparison;

    private @Nullable ExportTask task;

    /**
     * Reads the task file, if there is one, and prints what is to be told about its keys.
     *
     * @throws dev.finetune4j.examples.task.TaskFileException naming all that is wrong
     */
    void read(Output output) {
        task = named.task(ExportTask::read, ExportTask::notes, output);
    }

    List<Path> adapters() {
        return adapters.isEmpty() && task != null ? task.adapters() : adapters;
    }

    Path target() {
        Path chosen = target == null && task != null ? task.target() : target;
        if (chosen == null) {
            throw new IllegalArgumentException("it is not said where to write; add --output PATH"
                    + (task == null ? "" : ", or export_dir to " + named.typed()));
        }
        return chosen;
    }

    /** The folder of the model. */
    Path folder() {
        return ModelSource.of(task == null ? named.typed() : task.model()).fetch();
    }

    /** The name of a chat template for the model in the folder; null for its own. */
    @Nullable
    String template(Path folder) {
        return template == null && task != null ? TaskTemplates.of(folder, task.template()) : template;
    }

    ModelFormat.HuggingFace huggingFace() {
        Precision chosen = precision == null && task != null ? task.precision() : precision;
        ModelFormat.HuggingFace format = ModelFormat.huggingFace(chosen == null ? Precision.BF16 : chosen);
        return task == null ? format : format.shardBytes(task.shardBytes());
    }

    MergeSettings settings(Path folder) {
        MergeSettings settings = MergeSettings.defaults();
        settings = fourBit ? settings.allowFourBit() : settings;
        String chosen = template(folder);
        settings = chosen == null ? settings : settings.chatTemplate(chosen);
        settings = prompts.isEmpty() ? settings : settings.prompts(prompts);
        return noComparison ? settings.prompts(List.of()) : settings;
    }
}
