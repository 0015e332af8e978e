package dev.finetune4j.lora.adapter.peft;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.kind.AdapterKind;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import java.nio.file.Path;
import java.util.Map;

/**
 * Settings as PEFT's {@code adapter_config.json} states them, with the names and the meaning that PEFT 0.21 gives them: what
 * the kinds have in common. Each {@link AdapterKind} reads and writes the rest.
 */
final class AdapterConfig {
    private static final ObjectMapper JSON = new ObjectMapper();

    private AdapterConfig() {}

    /**
     * Reads the settings.
     *
     * @param base the model that the adapter shall sit on
     * @throws ModelFileException when the kind is unknown, a value is wrong, or a key may change the result and is not
     *     supported
     */
    static AdapterSettings read(Path file, JsonNode config, CausalLM base) {
        String type = config.path("peft_type").asText("");
        AdapterKind<?> kind = AdapterKinds.ofPeftType(type)
                .orElseThrow(() -> new ModelFileException(file + ": the adapter type \"" + type
                        + "\" is not supported (supported: " + String.join(", ", AdapterKinds.peftTypes()) + ")"));
        return kind.read(new ConfigFields(file, config), base);
    }

    /**
     * Writes the settings.
     *
     * @param base the model that the adapter sits on
     */
    static ObjectNode write(AdapterSettings settings, CausalLM base, String baseName) {
        AdapterKind<AdapterSettings> kind = AdapterKinds.of(settings);
        ObjectNode config = JSON.createObjectNode();
        config.putNull("auto_mapping");
        config.put("base_model_name_or_path", baseName);
        config.put("inference_mode", true);
        config.put("peft_type", kind.peftType());
        config.putNull("revision");
        config.put("task_type", "CAUSAL_LM");
        kind.write(settings, config, base);
        return sorted(config);
    }

    private static ObjectNode sorted(ObjectNode config) {
        ObjectNode sorted = JSON.createObjectNode();
        config.properties().stream()
                .sorted(Map.Entry.comparingByKey())
                .forEach(entry -> sorted.set(entry.getKey(), entry.getValue()));
        return sorted;
    }
}
