package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.lora.adapter.layer.PeftNames;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A parameter of transformers that holds the weights of all experts of a layer, which are linears here.
 *
 * @param module the path of the experts in transformers, such as {@code model.layers.0.mlp.experts}
 * @param parameter its name there, {@code gate_up_proj} or {@code down_proj}
 * @param linears the linears in its rows, expert by expert
 * @param experts how many there are
 */
record ExpertStack(String module, String parameter, List<String> linears, int experts) {
    static final String GATE_AND_UP = "gate_up_proj";
    static final String DOWN = "down_proj";

    private static final Pattern EXPERT = Pattern.compile("(.*)\\.([^.]+)\\.experts\\.(\\d+)\\.([^.]+)");
    private static final List<String> DOWN_NAMES = List.of("down_proj", "w2");
    private static final List<String> GATE_NAMES = List.of("gate_proj", "w1");

    /** The stacks of a model, in the order of its layers. */
    static List<ExpertStack> of(ModuleNames names) {
        return of(names.linears());
    }

    private static List<ExpertStack> of(Collection<String> linears) {
        Map<String, Map<Integer, String[]>> found = new LinkedHashMap<>();
        for (String path : linears) {
            Matcher parts = EXPERT.matcher(path);
            if (parts.matches()) {
                String[] three = found.computeIfAbsent(parts.group(1) + ".mlp.experts", none -> new LinkedHashMap<>())
                        .computeIfAbsent(Integer.valueOf(parts.group(3)), none -> new String[3]);
                String last = parts.group(4);
                three[DOWN_NAMES.contains(last) ? 2 : GATE_NAMES.contains(last) ? 0 : 1] = path;
            }
        }
        List<ExpertStack> stacks = new ArrayList<>();
        found.forEach((module, experts) -> {
            List<String> inputs = new ArrayList<>();
            List<String> outputs = new ArrayList<>();
            for (int i = 0; i < experts.size(); i++) {
                String[] three = Objects.requireNonNull(experts.get(i), "expert " + i);
                inputs.addAll(List.of(three[0], three[1]));
                outputs.add(three[2]);
            }
            stacks.add(new ExpertStack(module, GATE_AND_UP, inputs, experts.size()));
            stacks.add(new ExpertStack(module, DOWN, outputs, experts.size()));
        });
        return stacks;
    }

    /** Its whole name in transformers. */
    String path() {
        return module + "." + parameter;
    }

    /** Whether one of PEFT's {@code target_parameters} means it: by its name or the end of it. */
    boolean isNamedBy(Collection<String> targets) {
        return targets.stream().anyMatch(target -> path().equals(target) || path().endsWith("." + target));
    }

    /**
     * The name of a tensor in PEFT's file, where the second adapted parameter of a module is around the first.
     *
     * @param around whether there is another around this one
     */
    String fileName(boolean around, String end) {
        return PeftNames.tensorName(around ? module + ".base_layer" : module, end);
    }
}
