package dev.finetune4j.core.model;

/** Granite 3, dense: Llama with multipliers (<a href="https://arxiv.org/abs/2405.04324">Mishra et al. 2024</a>). */
final class GraniteFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "granite";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.qkvBias = reader.flag("attention_bias", false);
        draft.outputBias = draft.qkvBias;
        draft.mlpBias = reader.flag("mlp_bias", false);
        draft.embeddingScale = factor(reader, "embedding_multiplier");
        draft.residualMultiplier = factor(reader, "residual_multiplier");
        draft.attentionScale = factor(reader, "attention_multiplier");
        draft.logitsScaling = factor(reader, "logits_scaling");
        return draft.finish();
    }

    private static double factor(ConfigReader reader, String key) {
        double factor = reader.number(key, 1);
        if (!(factor > 0)) {
            reader.problem("\"" + key + "\" must be above 0, but is " + factor);
        }
        return factor;
    }
}
