package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.function.IntPredicate;

/** The text decoder of Gemma 3: a window in five of six layers, with rotary frequencies of its own (<a href="https://arxiv.org/abs/2503.19786">Kamath et al. 2025</a>). */
final class Gemma3TextFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "gemma3_text";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = GemmaFamily.common(reader);
        draft.kvHeads(4);
        draft.positionsDefault = 131_072;
        draft.blockNorms = ModelConfig.BlockNorms.AROUND;
        draft.headNorms = ModelConfig.HeadNorms.EACH_HEAD;
        draft.queryScalar = reader.number("query_pre_attn_scalar", 256);
        draft.attnLogitSoftcapping = reader.limit("attn_logit_softcapping", 0);
        draft.finalLogitSoftcapping = reader.limit("final_logit_softcapping", 0);
        int window = reader.window("sliding_window", 4096);
        int pattern = reader.size("sliding_window_pattern", 6);
        reader.ignore("_sliding_window_pattern"); // written beside layer_types, and read by nobody
        IntPredicate sliding = LayerTypes.sliding(draft, layer -> (layer + 1) % pattern != 0);
        RopeReader ropes = new RopeReader(draft);
        RopeSpec global = ropes.read("full_attention", "rope_theta", 1_000_000, true);
        RopeSpec local = ropes.read("sliding_attention", "rope_local_base_freq", 10_000, false);
        LayerType far = new LayerType(global, 0);
        LayerType near = new LayerType(local, window);
        return draft.finish(layer -> sliding.test(layer) ? near : far);
    }
}
