package dev.finetune4j.core.model;

import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.io.ModelDirectory;
import java.util.List;

/** A kind of decoder that checkpoints name by {@code model_type}: what its config.json means. */
interface ModelFamily {
    /** The value of {@code model_type} that this family reads. */
    String modelType();

    /**
     * Reads and checks config.json.
     *
     * @throws CheckpointException naming all values that are missing or not supported
     */
    ModelConfig read(ConfigReader reader);

    /** All families. */
    List<ModelFamily> ALL = List.of(
            new LlamaFamily(),
            new MistralFamily(),
            new Qwen2Family(),
            new Qwen3Family(),
            new GemmaFamily(),
            new Gemma2Family(),
            new Gemma3TextFamily(),
            new Phi3Family());

    /**
     * Reads the configuration of a checkpoint.
     *
     * @throws CheckpointException when its model type is none of the supported ones, which the message lists, or a value
     *     in it is not supported
     */
    static ModelConfig readConfig(ModelDirectory directory) {
        String type = directory.config().path("model_type").asText("");
        for (ModelFamily family : ALL) {
            if (family.modelType().equals(type)) {
                return family.read(new ConfigReader(directory.folder().resolve("config.json"), directory.config()));
            }
        }
        List<String> known = ALL.stream().map(ModelFamily::modelType).toList();
        throw new CheckpointException(directory.folder().resolve("config.json") + ": "
                + (type.isEmpty() ? "\"model_type\" is missing" : "the model type \"" + type + "\" is not supported")
                + " (supported: " + String.join(", ", known) + "). Use a checkpoint of one of these families.");
    }
}
