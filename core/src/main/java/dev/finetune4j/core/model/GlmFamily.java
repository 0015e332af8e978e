package dev.finetune4j.core.model;

/** GLM-4 in its converted form: rotary embedding of neighbours in a part of each head (<a href="https://arxiv.org/abs/2406.12793">Zeng et al. 2024</a>). */
final class GlmFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "glm";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        return common(reader).finish();
    }

    static ConfigDraft common(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.kvHeads = reader.size("num_key_value_heads", 2);
        draft.headDim = reader.size("head_dim", 128);
        draft.qkvBias = reader.flag("attention_bias", true);
        draft.mlp = ModelConfig.Mlp.FUSED;
        draft.interleavedRope = true;
        draft.partialRope = 0.5;
        draft.epsilonDefault = 1.5625e-7;
        draft.positionsDefault = 131_072;
        return draft;
    }
}
