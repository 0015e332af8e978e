package dev.finetune4j.core.model;

/** Qwen 3, dense: norms on the heads of queries and keys (<a href="https://arxiv.org/abs/2505.09388">Yang et al. 2025</a>). */
final class Qwen3Family implements ModelFamily {
    @Override
    public String modelType() {
        return "qwen3";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.headDim = reader.size("head_dim", 128);
        draft.qkvBias = reader.flag("attention_bias", false);
        draft.outputBias = draft.qkvBias;
        draft.headNorms = ModelConfig.HeadNorms.EACH_HEAD;
        draft.positionsDefault = 32_768;
        return LayerTypes.windowFromLayer(draft);
    }
}
