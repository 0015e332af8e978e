package dev.finetune4j.lora.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** Settings as PEFT's {@code adapter_config.json} states them, with the names and the meaning that PEFT 0.21 gives them. */
final class AdapterConfig {
    private static final String LORA = "LORA";
    private static final String IA3 = "IA3";
    private static final String PREFIX = "PREFIX_TUNING";
    private static final String P_TUNING = "P_TUNING";
    private static final String PROMPT = "PROMPT_TUNING";
    private static final TargetModules VALUES_AND_KEYS = TargetModules.named("k_proj", "v_proj", "down_proj");
    private static final TargetModules VALUES_AND_QUERIES = TargetModules.named("q_proj", "v_proj", "down_proj");

    /** What PEFT takes for a model type when the file names no modules. */
    private static final Map<String, TargetModules> USUAL_IA3_TARGETS = Map.of(
            "llama", VALUES_AND_KEYS,
            "mistral", VALUES_AND_KEYS,
            "qwen2", VALUES_AND_QUERIES,
            "qwen3", VALUES_AND_QUERIES,
            "gemma", VALUES_AND_QUERIES,
            "gemma2", VALUES_AND_QUERIES,
            "gemma3_text", VALUES_AND_QUERIES);

    private static final ObjectMapper JSON = new ObjectMapper();

    private AdapterConfig() {}

    /**
     * Reads the settings.
     *
     * @param base the model that the adapter shall sit on
     * @throws CheckpointException when the kind is unknown, a value is wrong, or a key may change the result and is not
     *     supported
     */
    static AdapterSettings read(Path file, JsonNode config, CausalLM base) {
        ConfigFields fields = new ConfigFields(file, config);
        String type = config.path("peft_type").asText("");
        return switch (type) {
            case LORA -> LoraConfig.read(fields, base);
            case IA3 -> ia3(fields, base.config().modelType());
            case PREFIX -> prefix(fields);
            case P_TUNING -> pTuning(fields);
            case PROMPT -> prompt(fields);
            default ->
                throw new CheckpointException(file + ": the adapter type \"" + type + "\" is not supported (supported: "
                        + String.join(", ", List.of(LORA, IA3, PREFIX, P_TUNING, PROMPT)) + ")");
        };
    }

    /**
     * Writes the settings.
     *
     * @param base the model that the adapter sits on
     * @param adapted paths of the modules that have an adapter, for settings that do not name them
     */
    static ObjectNode write(AdapterSettings settings, CausalLM base, Collection<String> adapted, String baseName) {
        ObjectNode config = JSON.createObjectNode();
        config.putNull("auto_mapping");
        config.put("base_model_name_or_path", baseName);
        config.put("inference_mode", true);
        config.putNull("revision");
        config.put("task_type", "CAUSAL_LM");
        if (settings instanceof LoraSettings lora) {
            config.put("peft_type", LORA);
            LoraConfig.write(lora, config, adapted);
        } else if (settings instanceof Ia3Settings ia3) {
            config.put("peft_type", IA3);
            putModules(config, "target_modules", ia3.modules().targets(), adapted);
            putModules(config, "exclude_modules", ia3.modules().exclude(), adapted);
            putModules(config, "feedforward_modules", ia3.feedForward(), adapted);
            config.put("fan_in_fan_out", false);
            config.put("init_ia3_weights", true);
            putNames(config, "modules_to_save", ia3.trainedWhole());
        } else {
            virtualTokens(settings, base.config(), config);
        }
        return sorted(config);
    }

    private static void virtualTokens(AdapterSettings settings, ModelConfig base, ObjectNode config) {
        boolean prefix = settings instanceof PrefixSettings;
        config.putNull("modules_to_save");
        config.put(
                "num_attention_heads",
                prefix ? base.attention().kvHeads() : base.attention().heads());
        config.put("num_layers", base.layers());
        config.put("num_transformer_submodules", 1);
        config.put("num_virtual_tokens", settings.virtualTokens());
        config.put("token_dim", prefix ? VirtualTokenAdapter.keyWidth(base) : base.hiddenSize());
        if (settings instanceof PrefixSettings tuning) {
            config.put("peft_type", PREFIX);
            boolean projected = tuning.projectionSize() > 0;
            config.put("encoder_hidden_size", projected ? tuning.projectionSize() : VirtualTokenAdapter.keyWidth(base));
            config.put("prefix_projection", projected);
            config.put("init_weights", tuning.startsAtZero() ? "zero" : null);
        } else if (settings instanceof PTuningSettings tuning) {
            config.put("peft_type", P_TUNING);
            config.put("encoder_dropout", tuning.dropout());
            config.put("encoder_hidden_size", tuning.encoderSize(base.hiddenSize()));
            config.put("encoder_num_layers", tuning.lstmLayers());
            config.put("encoder_reparameterization_type", tuning.encoder().name());
        } else if (settings instanceof PromptTuningSettings) {
            // A text as the start would make PEFT ask for a tokenizer; the trained vectors are all that counts.
            config.put("peft_type", PROMPT);
            config.put("prompt_tuning_init", "RANDOM");
            config.putNull("prompt_tuning_init_text");
            config.putNull("tokenizer_kwargs");
            config.putNull("tokenizer_name_or_path");
        }
    }

    private static Ia3Settings ia3(ConfigFields fields, String modelType) {
        boolean unnamed = fields.isAbsent("target_modules");
        TargetModules targets = targets(fields, USUAL_IA3_TARGETS.get(modelType));
        TargetModules exclude = fields.modules("exclude_modules");
        TargetModules feedForward = unnamed && fields.isAbsent("feedforward_modules")
                ? TargetModules.named("down_proj")
                : fields.modules("feedforward_modules");
        List<String> whole = fields.texts("modules_to_save");
        fields.harmless("init_ia3_weights");
        return fields.build(() -> new Ia3Settings(
                new ModuleSelection(targets, exclude, List.of(), List.of()),
                feedForward == null ? TargetModules.matching("(?!)") : feedForward,
                whole));
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

    private static int virtualTokens(ConfigFields fields) {
        fields.harmless("num_attention_heads", "num_layers", "token_dim");
        int submodules = fields.integer("num_transformer_submodules", 1);
        if (submodules != 1) {
            fields.problem("\"num_transformer_submodules\" must be 1 for a decoder, but is " + submodules);
        }
        return fields.integer("num_virtual_tokens", 0);
    }

    private static PrefixSettings prefix(ConfigFields fields) {
        int count = virtualTokens(fields);
        int size = fields.integer("encoder_hidden_size", 0);
        boolean projected = fields.flag("prefix_projection", false);
        String start = fields.text("init_weights", "");
        if (!start.isEmpty() && !start.equals("zero")) {
            fields.problem("\"init_weights\" must be \"zero\" or null, but is " + start);
        }
        return fields.build(() -> new PrefixSettings(count, projected ? Math.max(1, size) : 0, start.equals("zero")));
    }

    private static PTuningSettings pTuning(ConfigFields fields) {
        int count = virtualTokens(fields);
        int size = fields.integer("encoder_hidden_size", 0);
        int layers = fields.integer("encoder_num_layers", 2);
        double dropout = fields.number("encoder_dropout", 0);
        String encoder = fields.text("encoder_reparameterization_type", "MLP");
        boolean lstm = encoder.equals("LSTM");
        if (!lstm && !encoder.equals("MLP")) {
            fields.problem("\"encoder_reparameterization_type\" must be MLP or LSTM, but is " + encoder);
        }
        return fields.build(() -> new PTuningSettings(
                count, lstm ? PTuningSettings.Encoder.LSTM : PTuningSettings.Encoder.MLP, size, layers, dropout));
    }

    private static PromptTuningSettings prompt(ConfigFields fields) {
        int count = virtualTokens(fields);
        fields.harmless("prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_kwargs", "tokenizer_name_or_path");
        return fields.build(() -> PromptTuningSettings.random(count));
    }

    /** Writes names, or a regular expression; all linears by their last parts, as PEFT stores them. */
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

    /** Writes a list, or null for an empty one. */
    static void putNames(ObjectNode config, String key, Collection<String> names) {
        if (names.isEmpty()) {
            config.putNull(key);
        } else {
            ArrayNode array = config.putArray(key);
            names.forEach(array::add);
        }
    }

    private static ObjectNode sorted(ObjectNode config) {
        ObjectNode sorted = JSON.createObjectNode();
        config.properties().stream()
                .sorted(Map.Entry.comparingByKey())
                .forEach(entry -> sorted.set(entry.getKey(), entry.getValue()));
        return sorted;
    }
}
