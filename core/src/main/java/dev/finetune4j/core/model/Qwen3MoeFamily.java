package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.ExpertNames;
import dev.finetune4j.core.model.ModelConfig.Experts;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.function.IntPredicate;

/** Qwen 3 with experts (<a href="https://arxiv.org/abs/2505.09388">Yang et al. 2025</a>). */
final class Qwen3MoeFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "qwen3_moe";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.kvHeads = reader.size("num_key_value_heads", 4);
        draft.qkvBias = reader.flag("attention_bias", false);
        draft.outputBias = draft.qkvBias;
        draft.headNorms = ModelConfig.HeadNorms.EACH_HEAD;
        draft.positionsDefault = 32_768;
        Experts experts = SparseLayers.experts(
                reader,
                reader.has("num_local_experts") ? "num_local_experts" : "num_experts",
                reader.size("num_experts_per_tok", 8),
                reader.size("moe_intermediate_size", 768),
                reader.flag("norm_topk_prob", false),
                0,
                ExpertNames.PROJECTIONS);
        IntPredicate sparse = SparseLayers.everyStep(draft);
        reader.ignore("max_window_layers");
        int window = reader.switchedWindow(4096);
        RopeSpec rope = new RopeReader(draft).read(10_000);
        return draft.finish(layer -> new LayerType(rope, window, sparse.test(layer) ? experts : null));
    }
}
