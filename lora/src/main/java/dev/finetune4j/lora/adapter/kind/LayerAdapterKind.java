package dev.finetune4j.lora.adapter.kind;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.InitContext;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.layer.PeftNames;
import dev.finetune4j.lora.adapter.modules.ModulesToSave;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/** A kind whose adapters change what single modules compute. All of it follows from the {@link AdapterLayerSpec}s of its layers. */
public abstract class LayerAdapterKind<S extends AdapterSettings> extends AdapterKind<S> {
    protected LayerAdapterKind(Class<S> settings, String peftType, double usualLearningRate) {
        super(settings, peftType, usualLearningRate);
    }

    /**
     * The layers in the order in which they are made; on one module the earlier one is beneath.
     *
     * @throws SettingsException when no module matches
     */
    protected abstract List<AdapterLayerSpec> specs(S chosen, BaseModules base);

    @Override
    public final AdapterShape shape(S chosen, CausalLM base) {
        return AdapterShape.ofLayers(specs(chosen, BaseModules.of(base)));
    }

    @Override
    public final PeftAdapter create(S chosen, CausalLM base, InitSources sources) {
        List<AdapterLayerSpec> specs = specs(chosen, BaseModules.of(base));
        try (InitContext context = new InitContext(sources, base.placement().device())) {
            return LayerAdapter.of(chosen, specs, spec -> spec.init(context));
        }
    }

    @Override
    public PeftAdapter load(S chosen, StoredAdapter file, CausalLM base) {
        List<AdapterLayerSpec> specs;
        BaseModules modules = BaseModules.of(base);
        try {
            specs = new ArrayList<>(specs(chosen, modules));
        } catch (SettingsException | ModelFileException e) {
            throw new ModelFileException(file.configFile() + ": " + e.getMessage(), e);
        }
        List<AdapterLayerSpec> brought = broughtAlong(file.weights(), specs, modules);
        brought.forEach(table ->
                specs.replaceAll(spec -> spec.onResidual(table.modules().get(0))));
        specs.addAll(0, brought);
        AdapterCheck check = new AdapterCheck(file.file(), file.weights());
        specs.forEach(spec -> spec.shapes().forEach((layer, shape) -> check.tensor(spec.nameOf(layer), shape)));
        check.finish();
        ComputeDevice device = base.placement().device();
        try {
            return LayerAdapter.of(chosen, specs, spec -> {
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                spec.shapes().keySet().forEach(layer -> tensors.put(layer, file.read(spec.nameOf(layer), device)));
                return spec.of(tensors);
            });
        } catch (SettingsException e) {
            throw new ModelFileException(file.configFile() + ": " + e.getMessage(), e);
        }
    }

    /**
     * Tables of token vectors that PEFT adds to the file of an adapter that touches them or that was made after the
     * vocabulary had been changed. They take the place of the base's.
     */
    private static List<AdapterLayerSpec> broughtAlong(
            WeightSource weights, List<AdapterLayerSpec> specs, BaseModules base) {
        Set<String> planned = new LinkedHashSet<>();
        specs.forEach(spec -> spec.shapes().keySet().forEach(layer -> planned.add(spec.nameOf(layer))));
        List<String> tables = new ArrayList<>(base.names().embeddings());
        base.names().linears().stream().filter(ModuleNames::isOutputHead).forEach(tables::add);
        List<AdapterLayerSpec> found = new ArrayList<>();
        for (String table : tables) {
            for (String layer : List.of("weight", "base_layer.weight")) {
                String name = PeftNames.tensorName(table, layer);
                if (weights.names().contains(name) && !planned.contains(name)) {
                    found.add(ModulesToSave.spec(base, table, layer));
                }
            }
        }
        return found;
    }
}
