package dev.finetune4j.core.model;

/** Mistral: Llama with a window over the latest tokens (<a href="https://arxiv.org/abs/2310.06825">Jiang et al. 2023</a>). */
final class MistralFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "mistral";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.kvHeads(8);
        draft.positionsDefault = 131_072;
        draft.window = reader.window("sliding_window", 4096);
        return draft.finish();
    }
}
