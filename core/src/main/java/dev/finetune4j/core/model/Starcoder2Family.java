package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.Mlp;
import java.util.List;

/** StarCoder 2: layer norms with biases, biases everywhere, no gate, a window (<a href="https://arxiv.org/abs/2402.19173">Lozhkov et al. 2024</a>). */
final class Starcoder2Family implements ModelFamily {
    @Override
    public String modelType() {
        return "starcoder2";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.kvHeads(2);
        draft.tiedHead = reader.flag("tie_word_embeddings", true);
        draft.qkvBias = reader.flag("use_bias", true);
        draft.outputBias = draft.qkvBias;
        draft.mlpBias = draft.qkvBias;
        draft.mlp = new Mlp(false, List.of("c_fc"), "c_proj");
        draft.activationDefault = "gelu_pytorch_tanh";
        draft.centeredNorms = true;
        draft.normBias = true;
        draft.epsilonKey = "norm_epsilon";
        draft.epsilonDefault = 1e-5;
        draft.positionsDefault = 4096;
        draft.window = reader.window("sliding_window", 0);
        reader.passOverDropout("residual_dropout", "embedding_dropout");
        return draft.finish();
    }
}
