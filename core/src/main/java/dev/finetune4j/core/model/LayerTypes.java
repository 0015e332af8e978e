package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.List;
import java.util.function.IntPredicate;

/** Which layers look through a window: {@code layer_types} of config.json, or the rule that stands for it in older files. */
final class LayerTypes {
    private static final String SLIDING = "sliding_attention";
    private static final String FULL = "full_attention";

    private LayerTypes() {}

    /**
     * Whether each layer has a window.
     *
     * @param whenAbsent the rule for files without {@code layer_types}
     */
    static IntPredicate sliding(ConfigDraft draft, IntPredicate whenAbsent) {
        List<String> types = draft.reader.texts("layer_types");
        if (types == null) {
            return whenAbsent;
        }
        if (types.size() != draft.layers || !List.of(SLIDING, FULL).containsAll(types)) {
            draft.reader.problem("\"layer_types\" must say \"" + SLIDING + "\" or \"" + FULL + "\" for each of the "
                    + draft.layers + " layers, but is " + types);
            return whenAbsent;
        }
        return layer -> types.get(layer).equals(SLIDING);
    }

    /** Reports layers of which the file says otherwise than what will be computed; models of some types do not read it. */
    static void requireAgreement(ConfigReader reader, List<LayerType> kinds, int positions) {
        List<String> types = reader.texts("layer_types");
        if (types == null) {
            return;
        }
        for (int i = 0; i < Math.min(types.size(), kinds.size()); i++) {
            int window = kinds.get(i).window();
            boolean fits = (window > 0 && window < positions)
                    ? types.get(i).equals(SLIDING)
                    : types.get(i).equals(FULL) || window > 0;
            if (!fits) {
                reader.problem("\"layer_types\" says \"" + types.get(i) + "\" for layer " + i
                        + ", but by the other keys it has " + (window > 0 ? "a window of " + window : "no window"));
                return;
            }
        }
    }

    /** The rule of Qwen: a window in the layers from {@code max_window_layers} on, if it is switched on at all. */
    static ModelConfig windowFromLayer(ConfigDraft draft) {
        ConfigReader reader = draft.reader;
        int window = reader.switchedWindow(4096);
        int first = reader.count("max_window_layers", 28);
        IntPredicate sliding = sliding(draft, layer -> window > 0 && layer >= first);
        RopeSpec rope = new RopeReader(draft).read(10_000);
        return draft.finish(layer -> new LayerType(rope, sliding.test(layer) ? window : 0));
    }
}
