package dev.finetune4j.core.model;

import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.LinearSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Notes missing, misshapen and unexpected tensors of one checkpoint. */
final class LayoutCheck {
    private final WeightSource weights;
    private final Set<String> unread;
    private final List<String> problems = new ArrayList<>();

    LayoutCheck(WeightSource weights) {
        this.weights = weights;
        this.unread = new LinkedHashSet<>(weights.names());
    }

    void tensor(String name, long[] shape) {
        if (!unread.remove(name)) {
            problems.add("tensor " + name + " " + Arrays.toString(shape) + " is missing");
            return;
        }
        long[] found = weights.info(name).shape();
        if (!Arrays.equals(found, shape)) {
            problems.add("tensor " + name + " has the shape " + Arrays.toString(found) + ", expected "
                    + Arrays.toString(shape));
        }
    }

    void linear(LinearSpec spec, LinearFactory factory) {
        String weight = spec.weightName();
        if (factory.readsPacked(spec, weights)) {
            unread.remove(weight);
            unread.removeIf(name -> name.startsWith(weight + "."));
        } else if (weights.names().stream().anyMatch(name -> name.startsWith(weight + ".quant_state."))) {
            unread.remove(weight);
            unread.removeIf(name -> name.startsWith(weight + "."));
            problems.add("tensor " + weight + " holds 4-bit codes; train with qlora(…), or load with"
                    + " LanguageModel.loader(folder).quantize(…)");
        } else {
            tensor(weight, new long[] {spec.outFeatures(), spec.inFeatures()});
        }
        if (spec.bias()) {
            tensor(spec.biasName(), new long[] {spec.outFeatures()});
        }
    }

    List<String> finish(Set<String> ignored) {
        unread.removeAll(ignored);
        for (String name : unread) {
            problems.add(
                    "tensor " + name + " " + Arrays.toString(weights.info(name).shape()) + " is not part of the model");
        }
        return problems;
    }
}
