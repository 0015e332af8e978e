package dev.finetune4j.lora.adapter.lntuning;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.lora.adapter.LnTuningSettings;
import dev.finetune4j.lora.adapter.ModuleSelection;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.kind.ConfigKeys;
import dev.finetune4j.lora.adapter.kind.LayerAdapterKind;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.modules.ModulesToSave;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * LN tuning: copies of norms that are trained in their place, as {@link ModulesToSave} are, under names of its own. As in PEFT a file
 * may name other modules too, which {@link FreezeKind} writes.
 */
public final class LnTuningKind extends LayerAdapterKind<LnTuningSettings> {
    static final String TYPE = "LN_TUNING";
    static final String COPIES = "ln_tuning_layers";
    /** The end of a copied weight's name in a file. */
    static final String WEIGHT = COPIES + ".weight";

    private static final TargetModules TWO_IN_A_BLOCK =
            TargetModules.named("input_layernorm", "post_attention_layernorm", "norm");
    private static final TargetModules FOUR_IN_A_BLOCK = TargetModules.named(
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
            "norm");
    private static final TargetModules ONE_IN_A_BLOCK = TargetModules.named("post_attention_layernorm");

    /** What PEFT takes for a model type when the file names no modules. */
    private static final Map<String, TargetModules> USUAL_TARGETS = Map.of(
            "llama", TWO_IN_A_BLOCK,
            "mistral", TWO_IN_A_BLOCK,
            "qwen2", ONE_IN_A_BLOCK,
            "qwen3", ONE_IN_A_BLOCK,
            "gemma", TWO_IN_A_BLOCK,
            "gemma2", FOUR_IN_A_BLOCK,
            "gemma3_text", FOUR_IN_A_BLOCK);

    public LnTuningKind() {
        super(LnTuningSettings.class, TYPE, 3e-3);
    }

    @Override
    public List<String> problems(LnTuningSettings chosen, ModuleNames modules) {
        List<String> problems = new ArrayList<>();
        collect(problems, () -> chosen.modules().resolve("module", modules.all(), chosen.modulesToSave()));
        collect(problems, () -> ModulesToSave.resolve(modules, chosen.modulesToSave()));
        if (problems.isEmpty()) {
            problems.addAll(ModulesToSave.conflicts(modules, targets(chosen, modules), chosen.modulesToSave()));
            problems.addAll(others(chosen, modules));
        }
        return problems;
    }

    private static Set<String> targets(LnTuningSettings chosen, ModuleNames modules) {
        return chosen.modules().matching(modules.all(), chosen.modulesToSave());
    }

    /** Modules around others that the targets mean, and that PEFT would copy as a whole. */
    private static List<String> others(LnTuningSettings chosen, ModuleNames modules) {
        Set<String> paths = new LinkedHashSet<>();
        for (String path : modules.all()) {
            for (int end = path.indexOf('.'); end >= 0; end = path.indexOf('.', end + 1)) {
                paths.add(path.substring(0, end));
            }
        }
        Set<String> meant = chosen.modules().matching(paths, chosen.modulesToSave());
        return meant.isEmpty()
                ? List.of()
                : List.of("the target modules of LN tuning mean modules that hold others (" + String.join(", ", meant)
                        + "); name the norms themselves");
    }

    @Override
    protected List<AdapterLayerSpec> specs(LnTuningSettings chosen, BaseModules base) {
        List<AdapterLayerSpec> specs = new ArrayList<>(ModulesToSave.specs(base, chosen.modulesToSave()));
        chosen.modules()
                .matchingSome("module", base.names().all(), chosen.modulesToSave())
                .forEach(path -> specs.add(ModulesToSave.spec(base, path, WEIGHT)));
        return specs;
    }

    @Override
    public LnTuningSettings read(ConfigFields fields, CausalLM base) {
        TargetModules targets =
                ConfigKeys.targets(fields, USUAL_TARGETS.get(base.config().modelType()));
        TargetModules exclude = fields.modules("exclude_modules");
        List<String> whole = fields.texts("modules_to_save");
        return fields.build(
                () -> new LnTuningSettings(new ModuleSelection(targets, exclude, List.of(), List.of()), whole));
    }

    @Override
    public void write(LnTuningSettings chosen, ObjectNode config, CausalLM base) {
        Set<String> targets = targets(chosen, base.moduleNames());
        ConfigKeys.putModules(config, "target_modules", chosen.modules().targets(), targets);
        ConfigKeys.putModules(config, "exclude_modules", chosen.modules().exclude(), targets);
        ConfigKeys.putNames(config, "modules_to_save", chosen.modulesToSave());
    }

    @Override
    public Set<String> namedByAdapter() {
        return Set.of(COPIES);
    }
}
