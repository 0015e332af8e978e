package dev.finetune4j.lora.adapter.kind;

import dev.finetune4j.core.kernel.AdjacentTensors;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;

/** An adapter of layers that change what single modules compute. */
public final class LayerAdapter implements PeftAdapter {
    /**
     * A layer and the modules on which it sits.
     *
     * @param names the whole names of its tensors in a file, by the ends of them
     */
    private record Attached(Set<String> modules, Map<String, String> names, AdapterLayer layer) {
        static Attached of(AdapterLayerSpec spec, AdapterLayer layer) {
            Map<String, String> names = new LinkedHashMap<>();
            spec.shapes().keySet().forEach(end -> names.put(end, spec.nameOf(end)));
            return new Attached(Set.copyOf(spec.modules()), names, layer);
        }
    }

    private final AdapterSettings settings;
    private final List<Attached> layers;
    /** Those of each module, in order. */
    private final Map<String, List<Attached>> byModule = new HashMap<>();

    private final Lifetime lifetime = PeftAdapter.lifetime();

    private LayerAdapter(AdapterSettings settings, List<Attached> layers) {
        this.settings = settings;
        this.layers = layers;
        layers.forEach(layer -> layer.modules()
                .forEach(module -> byModule.computeIfAbsent(module, none -> new ArrayList<>())
                        .add(layer)));
    }

    /**
     * Makes the layers of the specs.
     *
     * @param make gives a layer whose tensors belong to the current scope
     */
    public static LayerAdapter of(
            AdapterSettings settings, List<AdapterLayerSpec> specs, Function<AdapterLayerSpec, AdapterLayer> make) {
        try (TensorScope scope = new TensorScope()) {
            List<Attached> layers = new ArrayList<>();
            for (AdapterLayerSpec spec : specs) {
                try (TensorScope temporary = new TensorScope()) {
                    AdapterLayer layer = make.apply(spec);
                    layer.owned().forEach(temporary::keep);
                    layers.add(Attached.of(spec, layer));
                }
            }
            gatherExperts(layers);
            // Last, so that a failure half-way leaves everything to the scope.
            layers.forEach(attached -> attached.layer().owned().forEach(scope::release));
            return new LayerAdapter(settings, layers);
        }
    }

    /** Puts the tensors of all single experts of a layer behind one another, so that the products with all of them can be one. */
    private static void gatherExperts(List<Attached> layers) {
        Map<List<Object>, List<Tensor>> alike = new LinkedHashMap<>();
        for (Attached attached : layers) {
            String module = attached.modules().iterator().next();
            if (attached.modules().size() == 1 && ModuleNames.isOfExpert(module)) {
                attached.layer().trained().forEach((end, tensor) -> {
                    List<Long> shape = Arrays.stream(tensor.shape()).boxed().toList();
                    alike.computeIfAbsent(List.of(ModuleNames.part(module), end, shape), none -> new ArrayList<>())
                            .add(tensor);
                });
            }
        }
        alike.values().forEach(AdjacentTensors::gather);
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
                return wrap(name, embedding, AdapterLayer::wrap);
            }

            @Override
            public Linear linear(String name, Linear linear) {
                return wrap(name, linear, (layer, inner) -> layer.wrap(name, inner));
            }

            @Override
            public RmsNorm norm(String name, RmsNorm norm) {
                return wrap(name, norm, AdapterLayer::wrap);
            }
        };
    }

    private <T> T wrap(String name, T module, BiFunction<AdapterLayer, T, T> around) {
        T wrapped = module;
        for (Attached attached : byModule.getOrDefault(name, List.of())) {
            wrapped = around.apply(attached.layer(), wrapped);
        }
        return wrapped;
    }

    @Override
    public Map<String, Tensor> parameters() {
        return named(AdapterLayer::trained);
    }

    @Override
    public Map<String, Parameter> trainable() {
        return named(AdapterLayer::parameters);
    }

    @Override
    public Set<String> addedBiases() {
        return layers.stream()
                .filter(attached -> attached.layer().addsBias())
                .flatMap(attached -> attached.modules().stream())
                .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    @Override
    public Map<String, Tensor> stored() {
        return named(AdapterLayer::stored);
    }

    @Override
    public Map<String, Tensor> frozen() {
        return named(AdapterLayer::frozen);
    }

    private <T> Map<String, T> named(Function<AdapterLayer, Map<String, T>> tensors) {
        try (Lifetime.Use use = use()) {
            Map<String, T> named = new LinkedHashMap<>();
            for (Attached attached : layers) {
                tensors.apply(attached.layer())
                        .forEach((end, tensor) -> named.put(
                                Objects.requireNonNull(attached.names().get(end)), tensor));
            }
            return named;
        }
    }

    @Override
    public void close() {
        lifetime.close(() -> layers.forEach(attached -> attached.layer().close()));
    }
}
