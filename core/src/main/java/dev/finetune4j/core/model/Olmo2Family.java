package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.BlockNorms;
import dev.finetune4j.core.model.ModelConfig.HeadNorms;

/** OLMo 2: norms behind the halves of a block only, and of all heads together (<a href="https://arxiv.org/abs/2501.00656">OLMo et al. 2025</a>). */
final class Olmo2Family implements ModelFamily {
    private static final BlockNorms BEHIND =
            new BlockNorms(null, "post_attention_layernorm", null, "post_feedforward_layernorm");

    @Override
    public String modelType() {
        return "olmo2";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        return common(reader).finish();
    }

    /** What OLMo 3 has too. */
    static ConfigDraft common(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.qkvBias = reader.flag("attention_bias", false);
        draft.outputBias = draft.qkvBias;
        draft.epsilonDefault = 1e-5;
        draft.blockNorms = BEHIND;
        draft.headNorms = HeadNorms.ALL_HEADS;
        return draft;
    }
}
