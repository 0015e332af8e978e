package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.json.JsonFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * What ties weights to the configuration that they were written with: a copy of the fields that change numbers without
 * showing in the shapes, in the metadata of the safetensors
 * file. Weights beside the configuration of another training are
 * found by it, instead of answering wrongly. Stateless.
 */
public final class ConfigTie {
    /** The key in the metadata. */
    static final String KEY = "finetune4j_config";

    private static final Set<String> TIED_IN_MODELS = Set.of(
            "model_type",
            "hidden_act",
            "hidden_activation",
            "rms_norm_eps",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "rope_theta",
            "tie_word_embeddings",
            "sliding_window",
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "query_pre_attn_scalar");

    private static final Set<String> TIED_IN_ADAPTERS = Set.of(
            "peft_type",
            "r",
            "lora_alpha",
            "use_rslora",
            "use_dora",
            "rank_pattern",
            "alpha_pattern",
            "fan_in_fan_out");

    private static final ObjectMapper JSON = new ObjectMapper();

    private ConfigTie() {}

    /** The metadata of weights that are written with a config.json. */
    public static Map<String, String> ofModel(JsonNode config) {
        return metadata(config, TIED_IN_MODELS);
    }

    /** The metadata of weights that are written with an adapter_config.json. */
    public static Map<String, String> ofAdapter(JsonNode config) {
        return metadata(config, TIED_IN_ADAPTERS);
    }

    private static Map<String, String> metadata(JsonNode config, Set<String> keys) {
        ObjectNode tied = JSON.createObjectNode();
        new TreeSet<>(keys).stream().filter(config::has).forEach(key -> tied.set(key, config.path(key)));
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("format", "pt");
        metadata.put(KEY, tied.toString());
        return metadata;
    }

    /**
     * Compares the configuration of a folder with the one that its weights were written with. Weights without a tie, and
     * folders whose {@code finetune4j.json} somebody has taken away, are not compared.
     *
     * @param metadata of the weights
     * @throws ModelFileException that names the fields that differ
     */
    public static void check(Path folder, String configName, JsonNode config, Map<String, String> metadata) {
        String tie = metadata.get(KEY);
        if (tie == null || !Files.isRegularFile(folder.resolve(FolderTransaction.RECORD))) {
            return;
        }
        Path file = folder.resolve(configName);
        ObjectNode tied = JsonFile.object(file, tie.getBytes(StandardCharsets.UTF_8));
        List<String> differences = new ArrayList<>();
        for (String key :
                new TreeSet<>(tied.properties().stream().map(Map.Entry::getKey).toList())) {
            if (!same(tied.path(key), config.path(key))) {
                differences.add("\"" + key + "\" is " + shown(config.path(key)) + " there and was " + tied.path(key));
            }
        }
        if (!differences.isEmpty()) {
            throw new ModelFileException(file + " is not the one that the weights beside it were written with: "
                    + String.join(", ", differences) + ". Take all files of the folder from one save; if the change is"
                    + " meant, delete " + FolderTransaction.RECORD + ", and it will not be compared");
        }
    }

    private static String shown(JsonNode value) {
        return value.isMissingNode() ? "absent" : value.toString();
    }

    private static boolean same(JsonNode tied, JsonNode found) {
        return (tied.isNumber() && found.isNumber())
                ? tied.doubleValue() == found.doubleValue()
                : tied.equals(found) || (tied.isNull() && found.isMissingNode());
    }
}
