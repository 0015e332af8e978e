package dev.finetune4j.core.model;

import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.io.ModelDirectory;
import java.util.List;

/**
 * A kind of decoder that checkpoints name by {@code model_type}: how to read its config.json and how its blocks are
 * composed.
 */
interface ModelFamily {
    /** The values of {@code model_type} that this family reads. */
    List<String> modelTypes();

    /**
     * Reads and checks config.json.
     *
     * @throws CheckpointException naming all values that are missing or not supported
     */
    ModelConfig readConfig(ModelDirectory directory);

    /** The tensors and linears that a checkpoint of this configuration has. */
    ModelLayout layout(ModelConfig config);

    /** Composes the decoder from parts that are made on demand. */
    CausalLM build(ModelConfig config, ModelParts parts);

    /** All families, in the order in which they are tried. */
    List<ModelFamily> ALL = List.of(new LlamaFamily());

    /**
     * The family of a checkpoint.
     *
     * @throws CheckpointException when its model type is none of the supported ones, which the message lists
     */
    static ModelFamily of(ModelDirectory directory) {
        String type = directory.config().path("model_type").asText("");
        for (ModelFamily family : ALL) {
            if (family.modelTypes().contains(type)) {
                return family;
            }
        }
        List<String> known =
                ALL.stream().flatMap(family -> family.modelTypes().stream()).toList();
        throw new CheckpointException(directory.folder().resolve("config.json") + ": "
                + (type.isEmpty() ? "\"model_type\" is missing" : "the model type \"" + type + "\" is not supported")
                + " (supported: " + String.join(", ", known) + "). Use a checkpoint of one of these families.");
    }
}
