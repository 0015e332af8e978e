package dev.finetune4j.lora.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.model.CausalLM;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Map;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

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

    /**
     * The modules that {@code target_modules} names.
     *
     * @param usual what PEFT takes for the model type when the file names none; null when it refuses then
     */
    static TargetModules targets(ConfigFields fields, @Nullable TargetModules usual) {
        if (usual != null && fields.isAbsent("target_modules") && fields.isAbsent("target_parameters")) {
            return usual;
        }
        TargetModules targets = fields.modules("target_modules");
        if (targets == null) {
            fields.problem("\"target_modules\" must be a list of names, a regular expression or \"all-linear\"");
            return TargetModules.allLinear();
        }
        return targets;
    }

    /**
     * Writes names, or a regular expression; all linears by their last parts, as PEFT stores them.
     *
     * @param adapted the modules that have an adapter
     */
    static void putModules(ObjectNode config, String key, @Nullable TargetModules modules, Collection<String> adapted) {
        if (modules == null) {
            config.putNull(key);
        } else if (modules instanceof TargetModules.Matching matching) {
            config.put(key, matching.regex());
        } else {
            TreeSet<String> names = new TreeSet<>();
            if (modules instanceof TargetModules.Named named) {
                names.addAll(named.names());
            } else {
                adapted.forEach(path -> names.add(path.substring(path.lastIndexOf('.') + 1)));
            }
            putNames(config, key, names);
        }
    }

    /** Writes which layers have an adapter. */
    static void putLayers(ObjectNode config, ModuleSelection modules) {
        if (modules.layers().isEmpty()) {
            config.putNull("layers_to_transform");
        } else {
            ArrayNode layers = config.putArray("layers_to_transform");
            modules.layers().forEach(layers::add);
        }
        putNames(config, "layers_pattern", modules.layersPattern());
    }

    /** Writes a list, or null for an empty one. */
    static void putNames(ObjectNode config, String key, Collection<String> names) {
        if (names.isEmpty()) {
            config.putNull(key);
        } else {
            ArrayNode array = config.putArray(key);
            names.forEach(array::add);
        }
    }

    /** @param adaptedOnly what PEFT calls {@link BiasTraining#LORA_ONLY} in the settings of the kind */
    static BiasTraining bias(ConfigFields fields, String adaptedOnly) {
        String bias = fields.text("bias", "none");
        if (bias.equals(adaptedOnly)) {
            return BiasTraining.LORA_ONLY;
        }
        return switch (bias) {
            case "none" -> BiasTraining.NONE;
            case "all" -> BiasTraining.ALL;
            default -> {
                fields.problem("\"bias\" must be none, " + adaptedOnly + " or all, but is " + bias);
                yield BiasTraining.NONE;
            }
        };
    }

    /** @param adaptedOnly as for {@link #bias} */
    static void putBias(ObjectNode config, BiasTraining bias, String adaptedOnly) {
        config.put(
                "bias",
                switch (bias) {
                    case NONE -> "none";
                    case LORA_ONLY -> adaptedOnly;
                    case ALL -> "all";
                });
    }

    private static ObjectNode sorted(ObjectNode config) {
        ObjectNode sorted = JSON.createObjectNode();
        config.properties().stream()
                .sorted(Map.Entry.comparingByKey())
                .forEach(entry -> sorted.set(entry.getKey(), entry.getValue()));
        return sorted;
    }
}
