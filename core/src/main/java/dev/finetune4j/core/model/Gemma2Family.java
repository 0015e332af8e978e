package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.function.IntPredicate;

/** Gemma 2: bounded scores and logits, norms behind each half, windows in every other layer (<a href="https://arxiv.org/abs/2408.00118">Rivière et al. 2024</a>). */
final class Gemma2Family implements ModelFamily {
    @Override
    public String modelType() {
        return "gemma2";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = GemmaFamily.common(reader);
        draft.kvHeads(4);
        reader.ignore("hidden_act");
        draft.blockNorms = ModelConfig.BlockNorms.AROUND;
        draft.queryScalar = reader.number("query_pre_attn_scalar", 256);
        draft.attnLogitSoftcapping = reader.limit("attn_logit_softcapping", 50);
        draft.finalLogitSoftcapping = reader.limit("final_logit_softcapping", 30);
        int window = reader.window("sliding_window", 4096);
        IntPredicate sliding = LayerTypes.sliding(draft, layer -> layer % 2 == 0);
        RopeSpec rope = new RopeReader(draft).read(10_000);
        return draft.finish(layer -> new LayerType(rope, sliding.test(layer) ? window : 0));
    }
}
