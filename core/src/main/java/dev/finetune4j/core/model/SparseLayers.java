package dev.finetune4j.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.model.ModelConfig.ExpertNames;
import dev.finetune4j.core.model.ModelConfig.Experts;
import java.util.HashSet;
import java.util.Set;
import java.util.function.IntPredicate;

/** What config.json says of experts, and which layers have them. */
final class SparseLayers {
    private SparseLayers() {}

    /**
     * The experts of the layers that have some.
     *
     * @param count the key that says how many there are
     */
    static Experts experts(
            ConfigReader reader,
            String count,
            int active,
            int innerSize,
            boolean normalised,
            int sharedSize,
            ExpertNames names) {
        int experts = reader.size(count);
        if (active > experts) {
            reader.problem("\"num_experts_per_tok\" is " + active + ", but there are only " + experts + " experts");
        }
        double factor = reader.number("router_aux_loss_coef", 0.001);
        boolean balanced = reader.flag("output_router_logits", false);
        return new Experts(
                experts, Math.min(active, experts), innerSize, normalised, sharedSize, balanced ? factor : 0, names);
    }

    /** The rule of Qwen: every so many layers, but for those that are named as dense. */
    static IntPredicate everyStep(ConfigDraft draft) {
        ConfigReader reader = draft.reader;
        int step = reader.size("decoder_sparse_step", 1);
        Set<Integer> dense = new HashSet<>();
        for (JsonNode layer : reader.node("mlp_only_layers")) {
            if (!ConfigReader.isWhole(layer) || layer.intValue() < 0 || layer.intValue() >= draft.layers) {
                reader.problem("\"mlp_only_layers\" must name layers from 0 to " + (draft.layers - 1) + ", but holds "
                        + layer);
            }
            dense.add(layer.intValue());
        }
        return layer -> !dense.contains(layer) && (layer + 1) % step == 0;
    }
}
