package dev.finetune4j.core.model;

/** Gemma: GeGLU, weights of norms that count from one, scaled embedding (<a href="https://arxiv.org/abs/2403.08295">Mesnard et al. 2024</a>). */
final class GemmaFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "gemma";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = common(reader);
        draft.activationKey = "hidden_act";
        // The first files say "gelu" and mean the approximation that the models were trained with.
        draft.exactGelu = false;
        reader.ignore("hidden_activation");
        return draft.finish();
    }

    /** What all generations of Gemma share. */
    static ConfigDraft common(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.headDim = reader.size("head_dim", 256);
        draft.tiedHead = reader.flag("tie_word_embeddings", true);
        draft.qkvBias = reader.flag("attention_bias", false);
        draft.outputBias = draft.qkvBias;
        draft.unitOffset = true;
        draft.embeddingScale = Math.sqrt(draft.hidden);
        draft.positionsDefault = 8192;
        draft.activationKey = "hidden_activation";
        draft.activationDefault = "gelu_pytorch_tanh";
        if (reader.flag("use_bidirectional_attention", false)) {
            reader.problem("\"use_bidirectional_attention\" is true, but only causal attention is supported");
        }
        return draft;
    }
}
