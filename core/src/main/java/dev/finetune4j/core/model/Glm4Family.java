package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.BlockNorms;

/** GLM-4-0414: GLM-4 with norms around the halves of a block (<a href="https://arxiv.org/abs/2406.12793">Zeng et al. 2024</a>). */
final class Glm4Family implements ModelFamily {
    private static final BlockNorms AROUND = new BlockNorms(
            "input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm");

    @Override
    public String modelType() {
        return "glm4";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = GlmFamily.common(reader);
        draft.blockNorms = AROUND;
        return draft.finish();
    }
}
