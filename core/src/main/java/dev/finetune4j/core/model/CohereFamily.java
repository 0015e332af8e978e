package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.BlockNorms;
import dev.finetune4j.core.model.ModelConfig.HeadNorms;

/** Command R: parallel halves, layer norms without biases (<a href="https://cohere.com/blog/command-r">Cohere 2024</a>). */
final class CohereFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "cohere";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = common(reader);
        draft.headNorms = reader.flag("use_qk_norm", false) ? HeadNorms.OWN_WEIGHTS : HeadNorms.NONE;
        draft.ropeThetaDefault = 500_000;
        return draft.finish();
    }

    /** What Command R7B and A have too. */
    static ConfigDraft common(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.tiedHead = reader.flag("tie_word_embeddings", true);
        draft.qkvBias = reader.flag("attention_bias", false);
        draft.outputBias = draft.qkvBias;
        draft.interleavedRope = true;
        draft.blockNorms = BlockNorms.SHARED;
        draft.centeredNorms = true;
        draft.epsilonKey = "layer_norm_eps";
        draft.epsilonDefault = 1e-5;
        draft.positionsDefault = 8192;
        double scale = reader.number("logit_scale", 0.0625);
        if (!(scale > 0)) {
            reader.problem("\"logit_scale\" must be above 0, but is " + scale);
        }
        draft.logitsScaling = 1 / scale;
        return draft;
    }
}
