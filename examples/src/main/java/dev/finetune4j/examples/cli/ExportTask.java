package dev.finetune4j.examples.cli;

import dev.finetune4j.core.Precision;
import dev.finetune4j.examples.task.TaskCommand;
import dev.finetune4j.examples.task.TaskFile;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a task file for writing a model says, such as LLaMA-Factory's for merging.
 *
 * @param model a folder, or the id of a model that a cache has
 * @param adapters folders in PEFT's format; all are merged
 * @param target the folder to write; null when the task leaves it open
 * @param template the name of a chat template, which counts where the checkpoint has none of its own; null for none
 * @param precision the number format of the weights; null where it is left open
 * @param shardBytes the most bytes of a file of weights
 * @param notes what is to be told about keys, a line each
 */
record ExportTask(
        String model,
        List<Path> adapters,
        @Nullable Path target,
        @Nullable String template,
        @Nullable Precision precision,
        long shardBytes,
        List<String> notes) {
    private static final long GIGABYTE = 1_000_000_000L;

    /**
     * Reads a task file.
     *
     * @param overrides {@code key=value}
     * @throws dev.finetune4j.examples.task.TaskFileException naming all that is wrong
     */
    static ExportTask read(Path file, List<String> overrides) {
        TaskFile task = TaskFile.read(file, overrides, TaskCommand.EXPORT);
        String model = AnswerTask.model(task);
        int gigabytes = task.integer("export_size").orElse(1);
        if (gigabytes < 1) {
            task.refuse("export_size", "is " + gigabytes + "; expected 1 or more");
        }
        Precision precision = AnswerTask.precision(task);
        task.requireSound();
        return new ExportTask(
                model,
                AnswerTask.adapters(task),
                task.text("export_dir").map(Path::of).orElse(null),
                task.text("template").orElse(null),
                precision,
                gigabytes * GIGABYTE,
                task.notes());
    }
}
