package dev.finetune4j.core.model;

import dev.finetune4j.core.nn.LinearSpec;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/**
 * The names and shapes that weights must hold, stated before anything is read.
 *
 * @param tensors shape of each tensor that is not part of a linear, by Hugging Face name
 * @param norms the module paths of those that are norms
 * @param linears the projections, by module path
 * @param ignored tensors that a file may hold although the model does not use them
 */
record WeightSpecs(
        Map<String, long[]> tensors, Set<String> norms, Map<String, LinearSpec> linears, Set<String> ignored) {
    private static final String WEIGHT = ".weight";
    private static final String BIAS = ".bias";

    static WeightSpecs empty() {
        return new WeightSpecs(
                new LinkedHashMap<>(), new LinkedHashSet<>(), new LinkedHashMap<>(), new LinkedHashSet<>());
    }

    void tensor(String name, long... shape) {
        tensors.put(name, shape);
    }

    void norm(String path, boolean bias, long... shape) {
        norms.add(path);
        tensor(path + WEIGHT, shape);
        if (bias) {
            tensor(path + BIAS, shape);
        }
    }

    /** The norms that have a bias. */
    Set<String> biasedNorms() {
        Set<String> biased = new LinkedHashSet<>(norms);
        biased.removeIf(path -> !tensors.containsKey(path + BIAS));
        return biased;
    }

    void linear(String name, long in, long out, boolean bias) {
        linears.put(name, new LinearSpec(name, in, out, bias, false));
    }

    void outputHead(String name, long in, long out) {
        linears.put(name, new LinearSpec(name, in, out, false, true));
    }

    /** The module paths of the parts that these tensors make. */
    ModuleNames moduleNames() {
        Set<String> embeddings = new LinkedHashSet<>();
        tensors.keySet().stream()
                .filter(name -> name.endsWith(WEIGHT))
                .map(name -> name.substring(0, name.length() - WEIGHT.length()))
                .filter(ModuleNames::isEmbedding) // the other matrices are routers, on which no adapter sits
                .forEach(embeddings::add);
        Set<String> projections = new LinkedHashSet<>(linears.keySet());
        projections.add(ModuleNames.OUTPUT_HEAD);
        return new ModuleNames(embeddings, projections, norms);
    }
}
