package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.ComputeDevice;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/** A kind whose adapters change what single modules compute. All of it follows from the {@link PartPlan}s of its parts. */
abstract class WeightKind<S extends AdapterSettings> extends AdapterKind<S> {
    WeightKind(Class<S> settings, String peftType, double usualLearningRate) {
        super(settings, peftType, usualLearningRate);
    }

    /**
     * The parts in the order in which they are made; on one module the earlier one is beneath.
     *
     * @throws SettingsException when no module matches
     */
    abstract List<PartPlan> plans(S chosen, BaseModules base);

    @Override
    final AdapterOutline outline(S chosen, CausalLM base) {
        return AdapterOutline.ofParts(plans(chosen, BaseModules.of(base)));
    }

    @Override
    final PeftAdapter create(S chosen, CausalLM base, PeftAdapter.Sources sources) {
        List<PartPlan> plans = plans(chosen, BaseModules.of(base));
        try (StartContext context = new StartContext(sources, base.placement().device())) {
            return WeightAdapter.of(chosen, plans, plan -> plan.start(context));
        }
    }

    @Override
    PeftAdapter load(S chosen, StoredAdapter file, CausalLM base) {
        List<PartPlan> plans;
        BaseModules modules = BaseModules.of(base);
        try {
            plans = new ArrayList<>(plans(chosen, modules));
        } catch (SettingsException | CheckpointException e) {
            throw new CheckpointException(file.configFile() + ": " + e.getMessage(), e);
        }
        List<PartPlan> brought = broughtAlong(file.weights(), plans, modules);
        brought.forEach(table ->
                plans.replaceAll(plan -> plan.onResidual(table.modules().get(0))));
        plans.addAll(0, brought);
        AdapterCheck check = new AdapterCheck(file.file(), file.weights());
        plans.forEach(plan -> plan.shapes().forEach((part, shape) -> check.tensor(plan.nameOf(part), shape)));
        check.finish();
        ComputeDevice device = base.placement().device();
        try {
            return WeightAdapter.of(chosen, plans, plan -> {
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                plan.shapes().keySet().forEach(part -> tensors.put(part, file.read(plan.nameOf(part), device)));
                return plan.of(tensors);
            });
        } catch (SettingsException e) {
            throw new CheckpointException(file.configFile() + ": " + e.getMessage(), e);
        }
    }

    /**
     * Tables of token vectors that PEFT adds to the file of an adapter that touches them or that was made after the
     * vocabulary had been changed. They take the place of the base's.
     */
    private static List<PartPlan> broughtAlong(WeightSource weights, List<PartPlan> plans, BaseModules base) {
        Set<String> planned = new LinkedHashSet<>();
        plans.forEach(plan -> plan.shapes().keySet().forEach(part -> planned.add(plan.nameOf(part))));
        List<String> tables = new ArrayList<>(base.names().embeddings());
        base.names().linears().stream().filter(CausalLM::isOutputHead).forEach(tables::add);
        List<PartPlan> found = new ArrayList<>();
        for (String table : tables) {
            for (String part : List.of("weight", "base_layer.weight")) {
                String name = AdapterFiles.tensorName(table, part);
                if (weights.names().contains(name) && !planned.contains(name)) {
                    found.add(TrainedModules.plan(base, table, part));
                }
            }
        }
        return found;
    }
}
