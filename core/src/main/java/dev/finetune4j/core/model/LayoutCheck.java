package dev.finetune4j.core.model;

import dev.finetune4j.core.io.TensorProblems;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;

/** Notes missing, misshapen and unexpected tensors of one model folder. */
final class LayoutCheck {
    private final WeightSource weights;
    private final Set<String> unread;
    private final NavigableSet<String> sorted;
    private final Map<String, long[]> missing = new LinkedHashMap<>();
    private final TensorProblems problems = new TensorProblems();

    /** Names of biases for which the configuration has no place, with the width of the linear. */
    private final Map<String, Long> biasless = new LinkedHashMap<>();

    LayoutCheck(WeightSource weights) {
        this.weights = weights;
        this.unread = new LinkedHashSet<>(weights.names());
        this.sorted = new TreeSet<>(unread);
    }

    void tensor(String name, long[] shape) {
        if (!unread.remove(name)) {
            missing.put(name, shape);
        } else if (!Arrays.equals(weights.info(name).shape(), shape)) {
            problems.misshapen(weights.info(name), name, shape);
        }
    }

    void linear(LinearSpec spec, LinearFactory factory) {
        String weight = spec.weightName();
        if (factory.readsPacked(spec, weights)) {
            unread.remove(weight);
            beginningWith(weight + ".").forEach(unread::remove);
        } else if (!beginningWith(weight + ".quant_state.").isEmpty()) {
            unread.remove(weight);
            beginningWith(weight + ".").forEach(unread::remove);
            problems.unwanted(
                    weight,
                    "holds 4-bit codes; train with qlora(…), or load with LanguageModel.loader(folder).quantize(…)");
        } else {
            tensor(weight, new long[] {spec.outFeatures(), spec.inFeatures()});
        }
        if (spec.bias()) {
            tensor(spec.biasName(), new long[] {spec.outFeatures()});
        } else {
            biasless.put(spec.biasName(), spec.outFeatures());
        }
    }

    private Set<String> beginningWith(String beginning) {
        return sorted.subSet(beginning, beginning + Character.MAX_VALUE);
    }

    /**
     * What is wrong, in one line for each cause.
     *
     * @param ignored tensors that a file may hold although the model does not use them
     */
    List<String> finish(Set<String> ignored) {
        unread.removeAll(ignored);
        problems.otherBeginning(
                missing, unread, "take the model that is the decoder alone, or save it anew under its own names");
        missing.forEach(problems::missing);
        for (String name : unread) {
            Long width = biasless.get(name);
            long[] shape = weights.info(name).shape();
            if (width == null || !Arrays.equals(shape, new long[] {width})) {
                problems.unwanted(name, Arrays.toString(shape) + " is not part of the model");
            } else if (!isZero(name)) {
                problems.unwanted(
                        name,
                        "is a bias that is not zero, but by config.json this linear has none; set \"attention_bias\" or"
                                + " \"mlp_bias\" (of some types \"use_bias\", \"use_qkv_bias\") to true where the model was"
                                + " trained with it");
            }
        }
        return problems.lines();
    }

    /** A bias of zeros is as good as none. */
    private boolean isZero(String name) {
        try (TensorScope scope = new TensorScope()) {
            Tensor bias = weights.read(name);
            return bias.count_nonzero().item_long() == 0;
        }
    }
}
