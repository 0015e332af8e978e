package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;

/** An adapter of parts that change what single modules compute. */
final class WeightAdapter implements PeftAdapter {
    /**
     * A part and the modules on which it sits.
     *
     * @param names the whole names of its tensors in a file, by the ends of them
     */
    private record Placed(Set<String> modules, Map<String, String> names, ModulePart part) {
        static Placed of(PartPlan plan, ModulePart part) {
            Map<String, String> names = new LinkedHashMap<>();
            plan.shapes().keySet().forEach(end -> names.put(end, plan.nameOf(end)));
            return new Placed(Set.copyOf(plan.modules()), names, part);
        }
    }

    private final AdapterSettings settings;
    private final List<Placed> parts;
    private final Lifetime lifetime = PeftAdapter.lifetime();

    private WeightAdapter(AdapterSettings settings, List<Placed> parts) {
        this.settings = settings;
        this.parts = parts;
    }

    /**
     * Makes the parts of the plans.
     *
     * @param make gives a part whose tensors belong to the current scope
     */
    static WeightAdapter of(AdapterSettings settings, List<PartPlan> plans, Function<PartPlan, ModulePart> make) {
        try (TensorScope scope = new TensorScope()) {
            List<Placed> parts = new ArrayList<>();
            for (PartPlan plan : plans) {
                try (TensorScope temporary = new TensorScope()) {
                    ModulePart part = make.apply(plan);
                    part.owned().forEach(temporary::keep);
                    parts.add(Placed.of(plan, part));
                }
            }
            // Last, so that a failure half-way leaves everything to the scope.
            parts.forEach(placed -> placed.part().owned().forEach(scope::release));
            return new WeightAdapter(settings, parts);
        }
    }

    @Override
    public AdapterSettings settings() {
        return settings;
    }

    @Override
    public Lifetime.Use use() {
        return lifetime.use();
    }

    @Override
    public CausalLM attachTo(CausalLM base) {
        try (Lifetime.Use use = use()) {
            return base.map(merging()).borrowing(lifetime);
        }
    }

    @Override
    public ModuleTransform merging() {
        lifetime.requireOpen();
        return new ModuleTransform() {
            @Override
            public Embedding embedding(String name, Embedding embedding) {
                return wrap(name, embedding, ModulePart::around);
            }

            @Override
            public Linear linear(String name, Linear linear) {
                return wrap(name, linear, (part, inner) -> part.around(name, inner));
            }

            @Override
            public RmsNorm norm(String name, RmsNorm norm) {
                return wrap(name, norm, ModulePart::around);
            }
        };
    }

    private <T> T wrap(String name, T module, BiFunction<ModulePart, T, T> around) {
        T wrapped = module;
        for (Placed placed : parts) {
            if (placed.modules().contains(name)) {
                wrapped = around.apply(placed.part(), wrapped);
            }
        }
        return wrapped;
    }

    @Override
    public Map<String, Tensor> parameters() {
        return named(ModulePart::trained);
    }

    @Override
    public Map<String, Tensor> stored() {
        return named(ModulePart::stored);
    }

    private Map<String, Tensor> named(Function<ModulePart, Map<String, Tensor>> tensors) {
        try (Lifetime.Use use = use()) {
            Map<String, Tensor> named = new LinkedHashMap<>();
            for (Placed placed : parts) {
                tensors.apply(placed.part())
                        .forEach((end, tensor) ->
                                named.put(Objects.requireNonNull(placed.names().get(end)), tensor));
            }
            return named;
        }
    }

    @Override
    public void close() {
        lifetime.close(() -> parts.forEach(placed -> placed.part().close()));
    }
}
