package dev.finetune4j.lora.adapter.kind;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.ModuleSelection;
import dev.finetune4j.lora.adapter.TargetModules;
import java.util.Collection;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** The keys of {@code adapter_config.json} that several kinds have: which modules, which layers, which biases. */
public final class ConfigKeys {
    /** The model types for which PEFT takes queries and values when the file names no modules. */
    private static final Set<String> HAVE_USUAL_TARGETS =
            Set.of("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "stablelm");

    private ConfigKeys() {}

    /** Queries and values, which PEFT takes for a model type when the file names no modules; null where it refuses. */
    public static @Nullable TargetModules queriesAndValues(String modelType) {
        return HAVE_USUAL_TARGETS.contains(modelType) ? TargetModules.named("q_proj", "v_proj") : null;
    }

    /**
     * The modules that {@code target_modules} names.
     *
     * @param usual what PEFT takes for the model type when the file names none; null when it refuses then
     */
    public static TargetModules targets(ConfigFields fields, @Nullable TargetModules usual) {
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
    public static void putModules(
            ObjectNode config, String key, @Nullable TargetModules modules, Collection<String> adapted) {
        if (modules == null) {
            config.putNull(key);
        } else if (modules instanceof TargetModules.None) {
            config.putArray(key);
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
    public static void putLayers(ObjectNode config, ModuleSelection modules) {
        if (modules.layers().isEmpty()) {
            config.putNull("layers_to_transform");
        } else {
            ArrayNode layers = config.putArray("layers_to_transform");
            modules.layers().forEach(layers::add);
        }
        putNames(config, "layers_pattern", modules.layersPattern());
    }

    /** Writes a list, or null for an empty one. */
    public static void putNames(ObjectNode config, String key, Collection<String> names) {
        if (names.isEmpty()) {
            config.putNull(key);
        } else {
            ArrayNode array = config.putArray(key);
            names.forEach(array::add);
        }
    }

    /**
     * Which biases are trained.
     *
     * @param adaptedOnly what PEFT calls {@link BiasTraining#LORA_ONLY} in the settings of the kind
     */
    public static BiasTraining bias(ConfigFields fields, String adaptedOnly) {
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

    /**
     * Writes which biases are trained.
     *
     * @param adaptedOnly as for {@link #bias}
     */
    public static void putBias(ObjectNode config, BiasTraining bias, String adaptedOnly) {
        config.put(
                "bias",
                switch (bias) {
                    case NONE -> "none";
                    case LORA_ONLY -> adaptedOnly;
                    case ALL -> "all";
                });
    }
}
