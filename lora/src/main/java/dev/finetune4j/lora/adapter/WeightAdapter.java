package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.PartMapper;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;

/** An adapter that changes what single modules compute: LoRA in all its forms, (IA)³, modules trained whole. */
final class WeightAdapter implements PeftAdapter {
    /** A part and the modules on which it sits. */
    private record Placed(List<String> modules, ModulePart part) {}

    private final AdapterSettings settings;
    private final List<Placed> parts;
    private final Lifetime lifetime = PeftAdapter.lifetime();

    private WeightAdapter(AdapterSettings settings, List<Placed> parts) {
        this.settings = settings;
        this.parts = parts;
    }

    /** The parts that the settings ask for. */
    static List<PartPlan> plans(AdapterSettings settings, BaseModules base) {
        return settings instanceof LoraSettings lora
                ? LoraPlans.of(lora, base)
                : Ia3Plans.of((Ia3Settings) settings, base);
    }

    static WeightAdapter create(CausalLM base, AdapterSettings settings, Sources sources) {
        ComputeDevice device = base.placement().device();
        boolean compares = settings instanceof LoraSettings lora && lora.start() instanceof LoraStart.Loftq;
        List<PartPlan> plans = plans(settings, BaseModules.of(base));
        try (WeightSource originals =
                compares && sources.originals() != null ? sources.originals().get() : null) {
            StartContext context = new StartContext(new SplittableRandom(sources.seed()), device, originals);
            return of(settings, plans, plan -> plan.start(context));
        }
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
                    parts.add(new Placed(plan.modules(), part));
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
    public PartMapper merging() {
        lifetime.requireOpen();
        return new PartMapper() {
            @Override
            public Embedding embedding(String name, Embedding embedding) {
                return wrap(name, embedding, ModulePart::around);
            }

            @Override
            public Linear linear(String name, Linear linear) {
                return wrap(name, linear, ModulePart::around);
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
    public AdapterSettings storedSettings() {
        return leavesBase() ? ((LoraSettings) settings).withDoubleRank() : settings;
    }

    @Override
    public Map<String, Tensor> stored() {
        boolean doubleRank = leavesBase();
        return named(part -> part.stored(doubleRank));
    }

    private Map<String, Tensor> named(Function<ModulePart, Map<String, Tensor>> tensors) {
        try (Lifetime.Use use = use()) {
            Map<String, Tensor> named = new LinkedHashMap<>();
            for (Placed placed : parts) {
                tensors.apply(placed.part())
                        .forEach((part, tensor) -> named.put(
                                AdapterFiles.tensorName(placed.modules().get(0), part), tensor));
            }
            return named;
        }
    }

    /** Whether the base computes without the factors that the training started from. */
    private boolean leavesBase() {
        return settings instanceof LoraSettings lora && lora.start().leavesBase();
    }

    @Override
    public void close() {
        lifetime.close(() -> parts.forEach(placed -> placed.part().close()));
    }
}
