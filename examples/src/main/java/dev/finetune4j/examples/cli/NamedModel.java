package dev.finetune4j.examples.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** The first argument of a command: a model, or a task file that names one and that further arguments may change. */
final class NamedModel {
    @CommandLine.Parameters(
            index = "0",
            paramLabel = "MODEL",
            description =
                    "A folder, the id of a model that a cache has, or a task file (YAML or JSON with LLaMA-Factory's keys).")
    private String model = "";

    @CommandLine.Parameters(
            index = "1..*",
            arity = "0..*",
            paramLabel = "KEY=VALUE",
            description = "Other values for keys of the task file.")
    private List<String> overrides = List.of();

    /** As it was typed. */
    String typed() {
        return model;
    }

    /**
     * Reads the task file, if there is one, and prints what is to be told about its keys.
     *
     * @param reader reads a file with other values for keys
     * @param notes what is to be told, a line each
     * @return null when there is none
     * @throws dev.finetune4j.examples.task.TaskFileException naming all that is wrong
     */
    <T> @Nullable T task(BiFunction<Path, List<String>, T> reader, Function<T, List<String>> notes, Output output) {
        if (isFile(model)) {
            T task = reader.apply(Path.of(model), overrides);
            notes.apply(task).forEach(note -> output.note(model + ": " + note));
            return task;
        }
        if (!overrides.isEmpty()) {
            throw new IllegalArgumentException(overrides.get(0) + " is for keys of a task file, but " + model
                    + " is none; give a .yaml file, or leave it out");
        }
        return null;
    }

    /** Whether what stands in a model's place is a task file. */
    static boolean isFile(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return lower.endsWith(".yaml") || lower.endsWith(".yml") || lower.endsWith(".json");
    }
}
