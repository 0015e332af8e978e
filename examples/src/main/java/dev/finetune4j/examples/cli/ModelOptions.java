package dev.finetune4j.examples.cli;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.examples.task.ThinkingSwitch;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Which model answers, and how it is loaded: as the options say, and for what they leave open a task file. */
final class ModelOptions {
    @CommandLine.Mixin
    private NamedModel named = new NamedModel();

    @CommandLine.Option(names = "--template", description = "A chat template by name; the model's own by default.")
    private @Nullable String template;

    @CommandLine.Option(names = "--device", description = "cpu, cuda or cuda:N; the best one by default.")
    private @Nullable String device;

    @CommandLine.Option(
            names = "--quantize",
            paramLabel = "TYPE",
            description = "Keep the weights in 4 bits: ${COMPLETION-CANDIDATES}.")
    private @Nullable QuantType quantize;

    private @Nullable AnswerTask task;

    /**
     * Reads the task file, if there is one, and prints what is to be told about its keys.
     *
     * @throws dev.finetune4j.examples.task.TaskFileException naming all that is wrong
     */
    void read(Output output) {
        task = named.task(AnswerTask::read, AnswerTask::notes, output);
    }

    /** Whether the model is named by a task file. */
    boolean isTask() {
        return task != null;
    }

    /** The model's folder or id. */
    String name() {
        return task == null ? named.typed() : task.model();
    }

    /** The adapters of the task file, which count together. */
    List<Path> adapters() {
        return task == null ? List.of() : task.adapters();
    }

    /** The system message of the task file. */
    @Nullable
    String system() {
        return task == null ? null : task.system();
    }

    /**
     * The variables of the chat template of the task file.
     *
     * @param output is told of one that is not needed
     * @throws dev.finetune4j.core.SettingsException if the template cannot do without thoughts
     */
    Map<String, Object> templateVariables(Output output) {
        if (task == null || task.thinks()) {
            return Map.of();
        }
        if (template == null && ThinkingSwitch.isIn(ModelSource.of(name()).fetchSettings(), name())) {
            return Map.of(ThinkingSwitch.NAME, false);
        }
        output.note(named.typed() + ": " + ThinkingSwitch.needless());
        return Map.of();
    }

    /** How answers are generated, as far as options do not say otherwise. */
    GenerationSettings settings() {
        return task == null ? GenerationSettings.greedy() : task.settings();
    }

    /** Loads the model; the caller closes it. */
    LanguageModel load() {
        return load(name());
    }

    /** The same with further choices. */
    LanguageModel load(UnaryOperator<LanguageModel.Loader> choices) {
        return choices.apply(loader(name())).load();
    }

    /** Loads another model in the same way. */
    LanguageModel load(String name) {
        return loader(name).load();
    }

    private LanguageModel.Loader loader(String name) {
        Path folder = ModelSource.of(name).fetch();
        LanguageModel.Loader loader = LanguageModel.loader(folder);
        String chosen = template == null && task != null ? TaskTemplates.of(folder, task.template()) : template;
        if (chosen != null) {
            loader.chatTemplate(chosen);
        }
        if (device != null) {
            loader.device(PlanCommand.Devices.parse(device));
        }
        Precision precision = task == null ? null : task.precision();
        if (precision != null) {
            loader.precision(precision);
        }
        QuantSettings quantization = quantization();
        if (quantization != null) {
            loader.quantize(quantization);
        }
        return loader;
    }

    private @Nullable QuantSettings quantization() {
        if (quantize != null) {
            return QuantSettings.builder().type(quantize).build();
        }
        return task == null ? null : task.quantization();
    }
}
