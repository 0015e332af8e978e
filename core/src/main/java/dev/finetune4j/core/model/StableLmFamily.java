package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.BlockNorms;
import dev.finetune4j.core.model.ModelConfig.HeadNorms;

/** StableLM: layer norms with biases, a quarter of each head turned, parallel halves and norms of heads by switches (<a href="https://arxiv.org/abs/2402.17834">Bellagente et al. 2024</a>). */
final class StableLmFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "stablelm";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.kvHeads(32);
        draft.qkvBias = reader.flag("use_qkv_bias", false);
        draft.headNorms = reader.flag("qk_layernorm", false) ? HeadNorms.OWN_MODULES : HeadNorms.NONE;
        draft.blockNorms = reader.flag("use_parallel_residual", false) ? BlockNorms.SHARED : BlockNorms.BEFORE;
        draft.centeredNorms = true;
        draft.normBias = true;
        draft.epsilonKey = "layer_norm_eps";
        draft.epsilonDefault = 1e-5;
        draft.partialRope = 0.25;
        draft.positionsDefault = 4096;
        reader.passOverDropout("hidden_dropout");
        return draft.finish();
    }
}
