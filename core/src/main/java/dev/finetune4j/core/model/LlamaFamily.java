package dev.finetune4j.core.model;

/**
 * Llama and the models that share its code in transformers, such as Yi
 * (<a href="https://arxiv.org/abs/2302.13971">Touvron et al. 2023</a>).
 */
final class LlamaFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "llama";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.qkvBias = reader.flag("attention_bias", false);
        draft.outputBias = draft.qkvBias;
        draft.mlpBias = reader.flag("mlp_bias", false);
        return draft.finish();
    }
}
