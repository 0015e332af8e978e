package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.ExpertNames;
import dev.finetune4j.core.model.ModelConfig.Experts;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.RopeSpec;

/** Mixtral: Mistral with experts in every layer (<a href="https://arxiv.org/abs/2401.04088">Jiang et al. 2024</a>). */
final class MixtralFamily implements ModelFamily {
    @Override
    public String modelType() {
        return "mixtral";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.kvHeads(8);
        draft.epsilonDefault = 1e-5;
        draft.positionsDefault = 131_072;
        if (reader.number("router_jitter_noise", 0) != 0) {
            reader.passOver("router_jitter_noise"); // it has a part in training only
        }
        Experts experts = SparseLayers.experts(
                reader,
                "num_local_experts",
                reader.size("num_experts_per_tok", 2),
                reader.size("intermediate_size"),
                true,
                0,
                ExpertNames.NUMBERED);
        int window = reader.window("sliding_window", 0);
        RopeSpec rope = new RopeReader(draft).read(1_000_000);
        return draft.finish(layer -> new LayerType(rope, window, experts));
    }
}
