package dev.finetune4j.core.model;

/** Phi-3 and 3.5: fused projections, LongRoPE (<a href="https://arxiv.org/abs/2404.14219">Abdin et al. 2024</a>). */
final class Phi3Family implements ModelFamily {
    @Override
    public String modelType() {
        return "phi3";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.fusedQkv = true;
        draft.mlp = ModelConfig.Mlp.FUSED;
        draft.partialRope = 1;
        draft.phi3Rope = true;
        draft.epsilonDefault = 1e-5;
        draft.positionsDefault = 4096;
        draft.window = reader.window("sliding_window", 0);
        reader.passOverDropout("resid_pdrop", "embd_pdrop");
        reader.size("original_max_position_embeddings", 4096);
        return draft.finish();
    }
}
