package dev.finetune4j.lora.adapter.lora;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.ModuleSelection;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.kind.ConfigKeys;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** LoRA settings as PEFT's {@code adapter_config.json} states them. */
final class LoraConfig {
    /** Starts after which the base is as it was, or from which PEFT, too, reads a trained adapter as a plain sum. */
    private static final Set<String> PLAIN_STARTS =
            Set.of("true", "false", "gaussian", "orthogonal", "eva", "mica", "lora_ga", "loftq");

    private static final String ADAPTED_ONLY = "lora_only";
    static final String TYING = "ensure_weight_tying";
    private static final Set<String> TABLES = Set.of("embed_tokens", "lm_head");

    private LoraConfig() {}

    static LoraSettings read(ConfigFields fields, CausalLM base) {
        List<String> parameters = fields.texts("target_parameters");
        TargetModules targets = !parameters.isEmpty() && fields.hasNoneIn("target_modules")
                ? TargetModules.none()
                : ConfigKeys.targets(
                        fields, ConfigKeys.queriesAndValues(base.config().modelType()));
        Map<String, List<Integer>> tokens = fields.tokens("trainable_token_indices");
        List<String> whole = fields.texts("modules_to_save");
        boolean tied = fields.flag(TYING, false) && BaseModules.of(base).tiedHead();
        LoraSettings.Builder builder = LoraSettings.builder()
                .rank(fields.integer("r", 8))
                .alpha(fields.number("lora_alpha", 8))
                .dropout(fields.number("lora_dropout", 0))
                .targetModules(targets)
                .layersToTransform(fields.integers("layers_to_transform").stream()
                        .mapToInt(Integer::intValue)
                        .toArray())
                .layersPattern(fields.texts("layers_pattern").toArray(String[]::new))
                .useRslora(fields.flag("use_rslora", false))
                .useDora(fields.flag("use_dora", false))
                .rankPattern(fields.map("rank_pattern", "whole numbers", JsonNode::isInt, JsonNode::intValue))
                .alphaPattern(fields.map("alpha_pattern", "numbers", JsonNode::isNumber, JsonNode::doubleValue))
                .initWeights(init(fields))
                .bias(ConfigKeys.bias(fields, ADAPTED_ONLY))
                .loraBias(fields.flag("lora_bias", false))
                .modulesToSave((tied ? withBothTables(fields, whole, targets, tokens) : whole).toArray(String[]::new))
                .targetParameters(parameters.toArray(String[]::new))
                .trainableTokenIndices(tokens);
        TargetModules excluded = fields.modules("exclude_modules");
        if (excluded != null) {
            builder.excludeModules(excluded);
        }
        fields.harmless(
                "megatron_core",
                "qalora_group_size",
                "eva_config",
                "corda_config",
                "lora_ga_config",
                "loftq_config"); // of the start, which is refused where it matters
        return fields.build(builder::build);
    }

    /**
     * What {@code ensure_weight_tying} means on a base whose head shares the embedding's weight: a copy of one is a copy of
     * both, which the file then holds twice.
     */
    private static List<String> withBothTables(
            ConfigFields fields, List<String> whole, TargetModules targets, Map<String, List<Integer>> tokens) {
        if (new HashSet<>(tokens.values()).size() > 1) {
            fields.problem("\"" + TYING + "\" is true, but \"trainable_token_indices\" gives tables that share one"
                    + " weight different tokens: " + tokens);
        }
        List<String> both = new ArrayList<>(whole);
        if (whole.stream().anyMatch(LoraConfig::namesTable)) {
            TABLES.stream()
                    .sorted()
                    .filter(table ->
                            whole.stream().noneMatch(name -> lastPart(name).equals(table)))
                    .forEach(both::add);
        } else if (targetsTable(targets)) {
            fields.problem("\"" + TYING + "\" is true and the targets name embedding or head, so PEFT ties their"
                    + " factors, which is not supported");
        }
        return both;
    }

    private static boolean targetsTable(TargetModules targets) {
        if (targets instanceof TargetModules.Named named) {
            return named.names().stream().anyMatch(LoraConfig::namesTable);
        }
        return targets instanceof TargetModules.Matching matching
                && TABLES.stream().anyMatch(matching::matches);
    }

    private static boolean namesTable(String name) {
        return TABLES.contains(lastPart(name));
    }

    private static String lastPart(String name) {
        return name.substring(name.lastIndexOf('.') + 1);
    }

    private static LoraInit init(ConfigFields fields) {
        String start = fields.text("init_lora_weights", "true").toLowerCase(Locale.ROOT);
        if (start.equals("pissa")) {
            return LoraInit.pissa();
        }
        if (start.equals("olora")) {
            return LoraInit.olora();
        }
        if (!PLAIN_STARTS.contains(start)) {
            fields.problem(
                    "\"init_lora_weights\" is \"" + start + "\": the base's weights were changed when the adapter"
                            + " was made and cannot be reproduced; convert it to an ordinary adapter in PEFT"
                            + " (path_initial_model_for_weight_conversion)");
        }
        return LoraInit.kaiming();
    }

    /**
     * Writes the settings. An adapter on a residual base is written as an ordinary one of twice the rank and the same scale, as
     * PEFT converts it: the subtracted factors stand behind the trained ones.
     *
     * @param adapted the modules that have factors
     */
    static void write(LoraSettings settings, ObjectNode config, Collection<String> adapted) {
        int ranks = settings.initWeights().usesResidualBase() ? 2 : 1;
        double alphas = settings.useRslora() ? Math.sqrt(ranks) : ranks;
        ObjectNode alphaPattern = config.putObject("alpha_pattern");
        settings.alphaPattern().forEach((key, value) -> putNumber(alphaPattern, key, alphas * value));
        ConfigKeys.putBias(config, settings.bias(), ADAPTED_ONLY);
        ModuleSelection modules = settings.modules();
        ConfigKeys.putModules(config, "exclude_modules", modules.exclude(), adapted);
        config.put("fan_in_fan_out", false);
        config.put("init_lora_weights", true);
        ConfigKeys.putLayers(config, modules);
        putNumber(config, "lora_alpha", alphas * settings.alpha());
        config.put("lora_bias", settings.loraBias());
        config.put("lora_dropout", settings.dropout());
        ConfigKeys.putNames(config, "modules_to_save", settings.modulesToSave());
        config.put("r", ranks * settings.rank());
        ObjectNode rankPattern = config.putObject("rank_pattern");
        settings.rankPattern().forEach((key, value) -> rankPattern.put(key, ranks * value));
        ConfigKeys.putModules(config, "target_modules", modules.targets(), adapted);
        if (!settings.targetParameters().isEmpty()) {
            ConfigKeys.putNames(config, "target_parameters", settings.targetParameters());
        }
        putTokens(settings, config);
        config.put("use_dora", settings.useDora());
        config.put("use_rslora", settings.useRslora());
    }

    private static void putTokens(LoraSettings settings, ObjectNode config) {
        if (settings.trainableTokenIndices().isEmpty()) {
            config.putNull("trainable_token_indices");
            return;
        }
        ObjectNode tables = config.putObject("trainable_token_indices");
        settings.trainableTokenIndices().forEach((table, ids) -> {
            ArrayNode array = tables.putArray(table);
            List.copyOf(ids).forEach(array::add);
        });
    }

    private static void putNumber(ObjectNode config, String key, double value) {
        if (value == Math.rint(value) && Math.abs(value) < Integer.MAX_VALUE) {
            config.put(key, (int) value);
        } else {
            config.put(key, value);
        }
    }
}
