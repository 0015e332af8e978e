package dev.finetune4j.core.model;

/** Qwen 2 and 2.5: biases on queries, keys and values (<a href="https://arxiv.org/abs/2407.10671">Yang et al. 2024</a>). */
final class Qwen2Family implements ModelFamily {
    @Override
    public String modelType() {
        return "qwen2";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.qkvBias = true;
        draft.positionsDefault = 32_768;
        return LayerTypes.windowFromLayer(draft);
    }
}
