package dev.finetune4j.core.model;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.Parameters;
import dev.finetune4j.core.tensor.Placement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** Hands the tensors and linears of a model folder to the decoder, and frees what it has made when composing fails half-way. */
final class WeightBinder {
    private final WeightSpecs specs;
    private final WeightSource weights;
    private final LinearFactory factory;
    private final Placement placement;
    private final Map<String, Linear> linears = new LinkedHashMap<>();
    private final List<Tensor> tensors = new ArrayList<>();

    WeightBinder(WeightSpecs specs, WeightSource weights, LinearFactory factory, Placement placement) {
        this.specs = specs;
        this.weights = weights;
        this.factory = factory;
        this.placement = placement;
    }

    Placement placement() {
        return placement;
    }

    Tensor tensor(String name) {
        Tensor tensor = Parameters.load(weights, name, placement);
        tensors.add(tensor);
        return tensor;
    }

    Linear linear(String name) {
        Linear linear = factory.create(spec(name), weights, placement);
        linears.put(name, linear);
        return linear;
    }

    /** Linears of one shape that belong together, whose weights may lie behind one another. */
    List<Named<Linear>> linears(List<String> names) {
        List<LinearSpec> wanted = names.stream().map(this::spec).toList();
        List<Linear> made = factory.createStacked(wanted, weights, placement);
        List<Named<Linear>> named = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            linears.put(names.get(i), made.get(i));
            named.add(new Named<>(names.get(i), made.get(i)));
        }
        return named;
    }

    private LinearSpec spec(String name) {
        LinearSpec spec = specs.linears().get(name);
        if (spec == null) {
            throw new IllegalStateException("the decoder builds " + name + " but does not list it in its weight specs");
        }
        return spec;
    }

    /** The linears made so far, by module path in the order of their making. */
    Map<String, Linear> linears() {
        return linears;
    }

    void close() {
        linears.values().forEach(Linear::close);
        tensors.forEach(Tensor::close);
    }

    /** Compares weights with the specs and names every difference at once. */
    static void check(String where, WeightSpecs specs, WeightSource weights, LinearFactory factory) {
        LayoutCheck check = new LayoutCheck(weights);
        specs.tensors().forEach(check::tensor);
        specs.linears().values().forEach(spec -> check.linear(spec, factory));
        List<String> problems = check.finish(specs.ignored());
        if (!problems.isEmpty()) {
            throw new ModelFileException(where + " does not fit its config.json:\n  - "
                    + String.join("\n  - ", problems)
                    + "\nUse the config.json that belongs to these weights, or a complete download.");
        }
    }
}
