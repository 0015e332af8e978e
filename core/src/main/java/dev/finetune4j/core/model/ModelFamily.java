package dev.finetune4j.core.model;

import dev.finetune4j.core.ModelFileException;
import java.util.List;
import java.util.Map;

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
            new Cohere2Family(),
            new StableLmFamily(),
            new Starcoder2Family());

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
                        : otherForm(type, reader)));
    }

    /** Checkpoints with code of their own, which is not run, by the type and the names of those that hold the same in another form. */
    Map<String, String> CONVERTED = Map.of(
            "chatglm", "\"glm\", as zai-org/glm-4-9b-chat-hf is",
            "internlm", "\"llama\", or InternLM2, as internlm/internlm2_5-7b-chat is",
            "Yi", "\"llama\", as 01-ai/Yi-1.5-6B-Chat is");

    private static String otherForm(String type, ConfigReader reader) {
        String converted = CONVERTED.get(type);
        if (converted != null) {
            return "Its checkpoints bring code of their own, which is not run: use the converted form of the type "
                    + converted + ".";
        }
        return (reader.has("auto_map") ? "It brings code of its own (\"auto_map\"), which is not run. " : "")
                + "Use a model of one of these families.";
    }
}
