package dev.finetune4j.examples.cli;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.examples.task.TaskCommand;
import dev.finetune4j.examples.task.TaskFile;
import dev.finetune4j.examples.task.ThinkingSwitch;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What a task file for answering says, such as LLaMA-Factory's for inference.
 *
 * @param model a folder, or the id of a model that a cache has
 * @param adapters folders in PEFT's format; what they change adds up
 * @param template the name of a chat template, which counts where the checkpoint has none of its own; null for none
 * @param system the system message of conversations that have none; null for none
 * @param thinks whether nothing is said against thoughts
 * @param quantization the form in which the weights are kept in 4 bits; null to leave them as they are
 * @param precision the number format that is computed in; null for the fastest
 * @param settings how answers are generated
 * @param notes what is to be told about keys, a line each
 */
record AnswerTask(
        String model,
        List<Path> adapters,
        @Nullable String template,
        @Nullable String system,
        boolean thinks,
        @Nullable QuantSettings quantization,
        @Nullable Precision precision,
        GenerationSettings settings,
        List<String> notes) {
    private static final int FOUR_BITS = 4;

    /**
     * Reads a task file.
     *
     * @param overrides {@code key=value}
     * @throws dev.finetune4j.examples.task.TaskFileException naming all that is wrong
     */
    static AnswerTask read(Path file, List<String> overrides) {
        TaskFile task = TaskFile.read(file, overrides, TaskCommand.CHAT);
        String model = model(task);
        QuantSettings quantization = quantization(task);
        Precision precision = precision(task);
        GenerationSettings settings = settings(task);
        task.requireSound();
        return new AnswerTask(
                model,
                adapters(task),
                task.text("template").orElse(null),
                task.text("default_system").orElse(null),
                task.flag(ThinkingSwitch.NAME),
                quantization,
                precision,
                settings,
                task.notes());
    }

    static String model(TaskFile task) {
        if (task.text("model_name_or_path").isEmpty()) {
            task.refuse("model_name_or_path", "is missing; give a folder, or the id of a model that a cache has");
        }
        return task.text("model_name_or_path").orElse("");
    }

    /** The folders of adapters. */
    static List<Path> adapters(TaskFile task) {
        return task.list("adapter_name_or_path").stream()
                .map(folder -> task.text("adapter_folder")
                        .map(inner -> Path.of(folder, inner))
                        .orElse(Path.of(folder)))
                .toList();
    }

    private static @Nullable QuantSettings quantization(TaskFile task) {
        if (!task.isGiven("quantization_bit")) {
            return null;
        }
        int bits = task.integer("quantization_bit").orElse(0);
        if (bits != FOUR_BITS) {
            task.refuse("quantization_bit", "is " + bits + "; 4 is built in, or take it out");
            return null;
        }
        return QuantSettings.builder()
                .type(QuantType.valueOf(
                        task.text("quantization_type").orElse("nf4").toUpperCase(Locale.ROOT)))
                .doubleQuantization(task.flag("double_quantization"))
                .build();
    }

    /** The number format of a task; null where it is left open. */
    static @Nullable Precision precision(TaskFile task) {
        String type = task.text("infer_dtype").orElse("auto");
        if (type.equals("float16")) {
            task.note("infer_dtype", "float16 is computed in bfloat16, which has the range of float32");
        }
        return switch (type) {
            case "float16", "bfloat16" -> Precision.BF16;
            case "float32" -> Precision.FP32;
            default -> null;
        };
    }

    private static GenerationSettings settings(TaskFile task) {
        boolean draws = task.flag("do_sample");
        try {
            return GenerationSettings.builder()
                    .maxNewTokens(task.integer("max_new_tokens").orElse(0))
                    .temperature(draws ? task.number("temperature").orElse(0.0) : 0)
                    .topP(task.number("top_p").orElse(1.0))
                    .topK(task.integer("top_k").orElse(0))
                    .repetitionPenalty(task.number("repetition_penalty").orElse(1.0))
                    .build();
        } catch (SettingsException e) {
            e.problems().forEach(problem -> refuse(task, problem));
            return GenerationSettings.greedy();
        }
    }

    /** @param problem begins with the name of a setting, which the key has in words with underscores */
    private static void refuse(TaskFile task, String problem) {
        int space = problem.indexOf(' ');
        String key = problem.substring(0, space).replaceAll("([A-Z])", "_$1").toLowerCase(Locale.ROOT);
        task.refuse(key, problem.substring(space + 1));
    }
}
