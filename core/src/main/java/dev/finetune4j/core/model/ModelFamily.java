package dev.finetune4j.core.model;

import dev.finetune4j.core.ModelFileException;
import java.util.List;

/** A kind of decoder that model folders name by {@code model_type}: what its config.json means. */
interface ModelFamily {
    /** The value of {@code model_type} that this family reads. */
    String modelType();

    /**
     * Reads and checks config.json.
     *
     * @throws ModelFileException naming all values that are missing or not supported
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
            new Phi3Family(),
            new Qwen2MoeFamily(),
            new Qwen3MoeFamily(),
            new MixtralFamily(),
            new SmolLm3Family(),
            new GraniteFamily(),
            new Olmo2Family(),
            new GlmFamily(),
            new Glm4Family(),
            new CohereFamily(),
            new Cohere2Family());

    /**
     * Reads a config.json; the reader then knows the keys that were passed over.
     *
     * @throws ModelFileException when its model type is none of the supported ones, which the message lists, or a value
     *     in it is not supported
     */
    static ModelConfig readConfig(ConfigReader reader) {
        String type = reader.text("model_type", "");
        for (ModelFamily family : ALL) {
            if (family.modelType().equals(type)) {
                return family.read(reader);
            }
        }
        List<String> known = ALL.stream().map(ModelFamily::modelType).toList();
        String inner = reader.node("text_config").path("model_type").asText("");
        throw new ModelFileException(reader.file() + ": "
                + (type.isEmpty() ? "\"model_type\" is missing" : "the model type \"" + type + "\" is not supported")
                + " (supported: " + String.join(", ", known) + "). "
                + (known.contains(inner)
                        ? "Its \"text_config\" is of the supported type \"" + inner
                                + "\": use a model that is that text model alone."
                        : "Use a model of one of these families."));
    }
}
