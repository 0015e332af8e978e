package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.ExpertNames;
import dev.finetune4j.core.model.ModelConfig.Experts;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.function.IntPredicate;

/** Qwen 1.5 and 2 with experts, one of them for all tokens (<a href="https://arxiv.org/abs/2407.10671">Yang et al. 2024</a>). */
final class Qwen2MoeFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "qwen2_moe";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.kvHeads = reader.size("num_key_value_heads", 16);
        draft.qkvBias = reader.flag("qkv_bias", true);
        draft.positionsDefault = 32_768;
        Experts experts = SparseLayers.experts(
                reader,
                "num_experts",
                reader.size("num_experts_per_tok", 4),
                reader.size("moe_intermediate_size", 1408),
                reader.flag("norm_topk_prob", false),
                reader.size("shared_expert_intermediate_size", 5632),
                ExpertNames.PROJECTIONS);
        IntPredicate sparse = SparseLayers.everyStep(draft);
        int window = reader.switchedWindow(4096);
        int first = reader.count("max_window_layers", 28);
        IntPredicate sliding = LayerTypes.sliding(draft, layer -> window > 0 && layer % 2 == 0 && layer < first);
        RopeSpec rope = new RopeReader(draft).read(10_000);
        return draft.finish(
                layer -> new LayerType(rope, sliding.test(layer) ? window : 0, sparse.test(layer) ? experts : null));
    }
}
