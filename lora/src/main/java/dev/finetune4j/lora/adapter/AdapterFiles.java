package dev.finetune4j.lora.adapter;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Reads and writes adapters in the folder format of <a href="https://github.com/huggingface/peft">PEFT</a>:
 * {@code adapter_config.json} and {@code adapter_model.safetensors}. Stateless; do not write one folder from two threads.
 */
public final class AdapterFiles {
    static final String CONFIG = "adapter_config.json";
    static final String WEIGHTS = "adapter_model.safetensors";

    private static final String PREFIX = "base_model.model.";
    private static final Set<String> HARMLESS_STARTS = Set.of("true", "false", "null", "gaussian", "orthogonal", "eva");
    private static final ObjectMapper JSON = new ObjectMapper();

    private AdapterFiles() {}

    /** The name of a tensor in the file; {@code part} is such as {@code lora_A.weight}. */
    static String tensorName(String linear, String part) {
        return PREFIX + linear + "." + part;
    }

    /**
     * Writes an adapter. The folder is made if it is absent; files of an older adapter in it are replaced once everything
     * new is complete, so that a failure leaves the older adapter as it was.
     *
     * @param baseName what {@code base_model_name_or_path} shall say
     * @param companions further JSON files to write with it, by file name
     * @throws FineTune4jException when the folder cannot be written
     */
    public static void save(LoraAdapter adapter, Path folder, String baseName, Map<String, JsonNode> companions) {
        Map<String, JsonNode> texts = new LinkedHashMap<>(companions);
        texts.put(CONFIG, config(adapter, baseName));
        try {
            Files.createDirectories(folder);
            try {
                SafetensorsWriter.write(unfinished(folder, WEIGHTS), adapter.parameters(), Map.of("format", "pt"));
                for (Map.Entry<String, JsonNode> text : texts.entrySet()) {
                    JSON.writerWithDefaultPrettyPrinter()
                            .writeValue(unfinished(folder, text.getKey()).toFile(), text.getValue());
                }
                finish(folder, WEIGHTS);
                for (String name : texts.keySet()) {
                    finish(folder, name);
                }
            } finally {
                Files.deleteIfExists(unfinished(folder, WEIGHTS));
                for (String name : texts.keySet()) {
                    Files.deleteIfExists(unfinished(folder, name));
                }
            }
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the adapter could not be written (" + e
                            + "); check space and rights, or choose another folder",
                    e);
        }
    }

    private static Path unfinished(Path folder, String name) {
        return folder.resolve(name + ".new");
    }

    private static void finish(Path folder, String name) throws IOException {
        Files.move(unfinished(folder, name), folder.resolve(name), StandardCopyOption.REPLACE_EXISTING);
    }

    private static ObjectNode config(LoraAdapter adapter, String baseName) {
        LoraSettings settings = adapter.settings();
        ObjectNode config = JSON.createObjectNode();
        config.putNull("auto_mapping");
        config.put("base_model_name_or_path", baseName);
        ObjectNode alphas = config.putObject("alpha_pattern");
        settings.alphaPattern().forEach((key, value) -> putNumber(alphas, key, value));
        config.put("bias", "none");
        config.put("fan_in_fan_out", false);
        config.put("inference_mode", true);
        config.put("init_lora_weights", true);
        putNumber(config, "lora_alpha", settings.alpha());
        config.put("lora_dropout", settings.dropout());
        config.putNull("modules_to_save");
        config.put("peft_type", "LORA");
        config.put("r", settings.rank());
        ObjectNode ranks = config.putObject("rank_pattern");
        settings.rankPattern().forEach(ranks::put);
        config.putNull("revision");
        if (settings.targets() instanceof TargetModules.Matching matching) {
            config.put("target_modules", matching.regex());
        } else {
            ArrayNode targets = config.putArray("target_modules");
            targetNames(adapter).forEach(targets::add);
        }
        config.put("task_type", "CAUSAL_LM");
        config.put("use_dora", settings.weightDecomposed());
        config.put("use_rslora", settings.rankStabilized());
        return config;
    }

    private static void putNumber(ObjectNode config, String key, double value) {
        if (value == Math.rint(value) && Math.abs(value) < Integer.MAX_VALUE) {
            config.put(key, (int) value);
        } else {
            config.put(key, value);
        }
    }

    private static Set<String> targetNames(LoraAdapter adapter) {
        if (adapter.settings().targets() instanceof TargetModules.Named named) {
            return new TreeSet<>(named.names());
        }
        Set<String> names = new TreeSet<>();
        adapter.factors().keySet().forEach(name -> names.add(name.substring(name.lastIndexOf('.') + 1)));
        return names;
    }

    /**
     * Reads an adapter for a base.
     *
     * @throws CheckpointException when a file is missing or damaged, when the adapter is of a kind that is not supported, or
     *     when its tensors do not fit the base; all differences are named at once
     */
    public static LoraAdapter load(Path folder, CausalLM base) {
        LoraSettings settings = readSettings(folder.resolve(CONFIG));
        Path file = folder.resolve(WEIGHTS);
        if (!Files.isRegularFile(file)) {
            throw new CheckpointException(file + " is missing; an adapter folder needs " + CONFIG + " and " + WEIGHTS);
        }
        try (SafetensorsFile weights = SafetensorsFile.open(file);
                TensorScope scope = new TensorScope()) {
            Set<String> targets = settings.targets().matching(base.linears().keySet());
            if (targets.isEmpty()) {
                throw new CheckpointException(folder.resolve(CONFIG)
                        + ": no linear of this base model matches \"target_modules\"; load the adapter on the model that"
                        + " it was trained on");
            }
            check(file, weights, base, settings, targets);
            Map<String, LoraAdapter.Factors> factors = new LinkedHashMap<>();
            ComputeDevice device = base.placement().device();
            for (String name : targets) {
                Tensor a = read(weights, tensorName(name, "lora_A.weight"), device);
                Tensor b = read(weights, tensorName(name, "lora_B.weight"), device);
                Tensor magnitude = settings.weightDecomposed()
                        ? read(weights, tensorName(name, "lora_magnitude_vector"), device)
                        : null;
                factors.put(name, new LoraAdapter.Factors(a, b, magnitude));
            }
            factors.values().forEach(pair -> pair.forEach((part, tensor) -> scope.release(tensor)));
            return new LoraAdapter(settings, factors);
        }
    }

    private static Tensor read(SafetensorsFile weights, String name, ComputeDevice device) {
        return Tensors.convert(weights.read(name), device, ScalarType.Float);
    }

    private static void check(
            Path file, SafetensorsFile weights, CausalLM base, LoraSettings settings, Set<String> targets) {
        Set<String> unread = new LinkedHashSet<>(weights.tensors().keySet());
        List<String> problems = new ArrayList<>();
        for (String name : targets) {
            Linear linear = Objects.requireNonNull(base.linears().get(name));
            checkShape(
                    weights,
                    unread,
                    problems,
                    tensorName(name, "lora_A.weight"),
                    settings.rankOf(name),
                    linear.inFeatures());
            checkShape(
                    weights,
                    unread,
                    problems,
                    tensorName(name, "lora_B.weight"),
                    linear.outFeatures(),
                    settings.rankOf(name));
            if (settings.weightDecomposed()) {
                checkShape(weights, unread, problems, tensorName(name, "lora_magnitude_vector"), linear.outFeatures());
            }
        }
        unread.forEach(name -> problems.add("tensor " + name + " belongs to no linear that " + CONFIG + " names"));
        if (!problems.isEmpty()) {
            throw new CheckpointException(file + " does not fit this base model:\n  - "
                    + String.join("\n  - ", problems)
                    + "\nLoad the adapter on the model that it was trained on.");
        }
    }

    private static void checkShape(
            SafetensorsFile weights, Set<String> unread, List<String> problems, String name, long... expected) {
        if (!unread.remove(name)) {
            problems.add("tensor " + name + " " + Arrays.toString(expected) + " is missing");
            return;
        }
        TensorInfo info = weights.tensors().get(name);
        if (info != null && !Arrays.equals(info.shape(), expected)) {
            problems.add("tensor " + name + " has the shape " + Arrays.toString(info.shape()) + ", this base needs "
                    + Arrays.toString(expected));
        }
    }

    private static LoraSettings readSettings(Path file) {
        JsonNode config = readJson(file);
        String type = config.path("peft_type").asText("");
        if (!type.equals("LORA")) {
            throw new CheckpointException(
                    file + ": the adapter type \"" + type + "\" is not supported (supported: LORA)");
        }
        refuseUnsupported(file, config);
        JsonNode rank = config.path("r");
        JsonNode alpha = config.path("lora_alpha");
        if (!rank.isInt() || rank.intValue() < 1 || !alpha.isNumber()) {
            throw new CheckpointException(
                    file + ": \"r\" must be a whole number of at least 1 and \"lora_alpha\" a number, but they are "
                            + rank + " and " + alpha);
        }
        try {
            return new LoraSettings(
                    rank.intValue(),
                    alpha.doubleValue(),
                    config.path("lora_dropout").asDouble(0),
                    targets(file, config),
                    config.path("use_rslora").asBoolean(false),
                    config.path("use_dora").asBoolean(false),
                    ranks(file, config.path("rank_pattern")),
                    alphas(file, config.path("alpha_pattern")));
        } catch (SettingsException e) {
            throw new CheckpointException(file + ": " + e.getMessage(), e);
        }
    }

    private static TargetModules targets(Path file, JsonNode config) {
        JsonNode targets = config.path("target_modules");
        if (targets.isTextual() && targets.textValue().equals("all-linear")) {
            return TargetModules.allLinear();
        }
        if (targets.isTextual()) {
            return TargetModules.matching(targets.textValue());
        }
        if (!targets.isArray() || targets.isEmpty()) {
            throw new CheckpointException(file
                    + ": \"target_modules\" must be a list of names, a regular expression or \"all-linear\", but is "
                    + targets);
        }
        List<String> names = new ArrayList<>();
        targets.forEach(target -> names.add(target.asText()));
        return new TargetModules.Named(names);
    }

    private static Map<String, Integer> ranks(Path file, JsonNode pattern) {
        Map<String, Integer> ranks = new LinkedHashMap<>();
        pattern.properties().forEach(entry -> {
            if (!entry.getValue().isInt()) {
                throw new CheckpointException(file + ": \"rank_pattern\" must give whole numbers, but is " + pattern);
            }
            ranks.put(entry.getKey(), entry.getValue().intValue());
        });
        return ranks;
    }

    private static Map<String, Double> alphas(Path file, JsonNode pattern) {
        Map<String, Double> alphas = new LinkedHashMap<>();
        pattern.properties().forEach(entry -> {
            if (!entry.getValue().isNumber()) {
                throw new CheckpointException(file + ": \"alpha_pattern\" must give numbers, but is " + pattern);
            }
            alphas.put(entry.getKey(), entry.getValue().doubleValue());
        });
        return alphas;
    }

    /** Settings that change the numbers and that this version does not compute. */
    private static void refuseUnsupported(Path file, JsonNode config) {
        List<String> found = new ArrayList<>();
        for (String flag : List.of("use_qalora", "use_bdlora", "lora_bias", "fan_in_fan_out")) {
            if (config.path(flag).asBoolean(false)) {
                found.add(flag);
            }
        }
        for (String key : List.of(
                "modules_to_save",
                "layers_to_transform",
                "exclude_modules",
                "layer_replication",
                "target_parameters",
                "trainable_token_indices",
                "alora_invocation_tokens")) {
            JsonNode value = config.path(key);
            if (!value.isMissingNode() && !value.isNull() && !(value.isContainerNode() && value.isEmpty())) {
                found.add(key);
            }
        }
        // Other ways to start (PiSSA, OLoRA, LoftQ …) also change the base weights, which a plain sum would miss.
        String start = config.path("init_lora_weights").asText("true");
        if (!HARMLESS_STARTS.contains(start)) {
            found.add("init_lora_weights=" + start);
        }
        if (!config.path("bias").asText("none").equals("none")) {
            found.add("bias");
        }
        if (!found.isEmpty()) {
            throw new CheckpointException(
                    file + " uses settings that this version does not support: " + String.join(", ", found));
        }
    }

    private static JsonNode readJson(Path file) {
        if (!Files.isRegularFile(file)) {
            throw new CheckpointException(file + " is missing; an adapter folder needs " + CONFIG + " and " + WEIGHTS);
        }
        try {
            return JSON.readTree(file.toFile());
        } catch (JsonProcessingException e) {
            throw new CheckpointException(file + " is not valid JSON: " + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw new FineTune4jException(file + " could not be read (" + e + "); check that it is readable", e);
        }
    }
}
