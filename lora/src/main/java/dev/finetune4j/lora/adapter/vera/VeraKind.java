package dev.finetune4j.lora.adapter.vera;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.lora.adapter.ModuleSelection;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.VeraSettings;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.kind.ConfigKeys;
import dev.finetune4j.lora.adapter.kind.LayerAdapterKind;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.kind.StoredAdapter;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.modules.ModulesToSave;
import dev.finetune4j.lora.adapter.modules.TrainableBias;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;

/** VeRA. */
public final class VeraKind extends LayerAdapterKind<VeraSettings> {
    private static final String ADAPTED_ONLY = "vera_only";

    public VeraKind() {
        super(VeraSettings.class, "VERA", 4e-3);
    }

    @Override
    public List<String> problems(VeraSettings chosen, ModuleNames modules) {
        List<String> problems = new ArrayList<>();
        collect(problems, () -> chosen.modules().resolve("linear", modules.linears(), chosen.modulesToSave()));
        collect(problems, () -> ModulesToSave.resolve(modules, chosen.modulesToSave()));
        if (problems.isEmpty()) {
            problems.addAll(ModulesToSave.conflicts(modules, targets(chosen, modules), chosen.modulesToSave()));
        }
        if (chosen.dInitial() == 0) {
            problems.add("VeRA's vector d must not start at 0, because b does and neither would ever learn;"
                    + " 0.1 is usual");
        }
        return problems;
    }

    private static Set<String> targets(VeraSettings chosen, ModuleNames modules) {
        return chosen.modules().matching(modules.linears(), chosen.modulesToSave());
    }

    @Override
    protected List<AdapterLayerSpec> specs(VeraSettings chosen, BaseModules base) {
        Collection<String> linears = base.names().linears();
        Set<String> targets = chosen.modules().matchingSome("linear", linears, chosen.modulesToSave());
        List<AdapterLayerSpec> specs = new ArrayList<>(ModulesToSave.specs(base, chosen.modulesToSave()));
        specs.addAll(TrainableBias.specs(base, chosen.bias(), targets, chosen.modulesToSave()));
        specs.add(VeraSpec.of(chosen, base, targets));
        return specs;
    }

    @Override
    public VeraSettings read(ConfigFields fields, CausalLM base) {
        TargetModules targets = ConfigKeys.targets(
                fields, ConfigKeys.queriesAndValues(base.config().modelType()));
        List<Integer> layers = fields.integers("layers_to_transform");
        List<String> layersPattern = fields.texts("layers_pattern");
        VeraSettings.Builder builder = VeraSettings.builder()
                .rank(fields.integer("r", 256))
                .projectionPrngKey(fields.longInteger("projection_prng_key", 0))
                .saveProjection(fields.flag("save_projection", true))
                .dropout(fields.number("vera_dropout", 0))
                .dInitial(fields.number("d_initial", 0.1))
                .bias(ConfigKeys.bias(fields, ADAPTED_ONLY))
                .modulesToSave(fields.texts("modules_to_save").toArray(String[]::new));
        fields.harmless("init_weights");
        return fields.build(() -> builder.modules(new ModuleSelection(targets, null, layers, layersPattern))
                .build());
    }

    @Override
    public void write(VeraSettings chosen, ObjectNode config, CausalLM base) {
        ConfigKeys.putBias(config, chosen.bias(), ADAPTED_ONLY);
        config.put("d_initial", chosen.dInitial());
        config.put("fan_in_fan_out", false);
        config.put("init_weights", true);
        ConfigKeys.putLayers(config, chosen.modules());
        ConfigKeys.putNames(config, "modules_to_save", chosen.modulesToSave());
        config.put("projection_prng_key", chosen.projectionPrngKey());
        config.put("r", chosen.rank());
        config.put("save_projection", chosen.saveProjection());
        ConfigKeys.putModules(
                config, "target_modules", chosen.modules().targets(), targets(chosen, base.moduleNames()));
        config.put("vera_dropout", chosen.dropout());
    }

    /** Matrices that a file holds are those that the vectors were trained with, even when it says that they are drawn anew. */
    @Override
    public PeftAdapter load(VeraSettings chosen, StoredAdapter file, CausalLM base) {
        boolean holdsMatrices = file.weights().names().containsAll(outsideModules());
        return super.load(
                holdsMatrices ? chosen.toBuilder().saveProjection(true).build() : chosen, file, base);
    }

    @Override
    public Set<String> namedByAdapter() {
        return Set.of(VeraLayer.A, VeraLayer.B, VeraLayer.LAMBDA_B, VeraLayer.LAMBDA_D);
    }

    @Override
    public Set<String> outsideModules() {
        return Set.of(VeraSpec.OUTSIDE + VeraLayer.A, VeraSpec.OUTSIDE + VeraLayer.B);
    }
}
