package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.lora.adapter.LoraSettings;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;

/**
 * What {@code target_parameters} add to one linear of one expert.
 *
 * @param a shape (r, in)
 * @param b shape (out, r)
 * @param scale factor on the product of B and A
 */
public record ExpertFactors(Tensor a, Tensor b, double scale) {
    /**
     * The factors of all linears that the settings' target parameters mean, by module path; none where there are no such parameters.
     *
     * @param names of the base
     * @param stored the tensors of the adapter's file, by the names there; the factors are views of them, owned by the caller's scope
     */
    public static Map<String, ExpertFactors> of(LoraSettings settings, ModuleNames names, Map<String, Tensor> stored) {
        Map<String, ExpertFactors> factors = new LinkedHashMap<>();
        List<ExpertStack> stacks = LoraSpecs.stacks(settings, names);
        Set<String> withDown = stacks.stream()
                .filter(stack -> stack.parameter().equals(ExpertStack.DOWN))
                .map(ExpertStack::module)
                .collect(Collectors.toSet());
        for (ExpertStack stack : stacks) {
            boolean inner = stack.parameter().equals(ExpertStack.GATE_AND_UP) && withDown.contains(stack.module());
            Tensor a = tensor(stored, stack.fileName(inner, LoraLayer.A)); // (experts · r, in)
            Tensor b = tensor(stored, stack.fileName(inner, LoraLayer.B)); // (out, r · experts)
            long rank = a.size(0) / stack.experts();
            int each = stack.linears().size() / stack.experts();
            long rows = b.size(0) / each;
            Tensor byExpert = b.view(b.size(0), rank, stack.experts());
            for (int i = 0; i < stack.linears().size(); i++) {
                int expert = i / each;
                factors.put(
                        stack.linears().get(i),
                        new ExpertFactors(
                                a.narrow(0, expert * rank, rank),
                                byExpert.narrow(0, i % each * rows, rows).select(2, expert),
                                settings.scaleOf(stack.path())));
            }
        }
        return factors;
    }

    /** Whether a tensor of a file holds factors of all experts of a layer. */
    public static boolean isStacked(String name) {
        return name.contains(".experts.lora_") || name.contains(".experts.base_layer.lora_");
    }

    private static Tensor tensor(Map<String, Tensor> stored, String name) {
        Tensor found = stored.get(name);
        if (found == null) {
            throw new IllegalStateException("the adapter has no " + name);
        }
        return found;
    }
}
