package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.ExpertNames;
import dev.finetune4j.core.model.ModelConfig.Experts;
import dev.finetune4j.core.nn.GatedMlp;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.MixtureOfExperts;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.ProjectionGroup;
import dev.finetune4j.core.nn.Router;
import java.util.ArrayList;
import java.util.List;

/** The tensors of a sparse feed-forward part, and how it is put together. */
final class ExpertsBuilder {
    private final ModelConfig config;
    private final Experts experts;
    private final ExpertNames names;

    ExpertsBuilder(ModelConfig config, Experts experts) {
        this.config = config;
        this.experts = experts;
        this.names = experts.names();
    }

    private String part(String block) {
        return block + "." + names.part();
    }

    private String expert(String block, int index) {
        return part(block) + ".experts." + index + ".";
    }

    void weightSpecs(WeightSpecs specs, String block) {
        long hidden = config.hiddenSize();
        specs.tensor(part(block) + ".gate.weight", experts.count(), hidden);
        for (int i = 0; i < experts.count(); i++) {
            String name = expert(block, i);
            specs.linear(name + names.gate(), hidden, experts.innerSize(), false);
            specs.linear(name + names.up(), hidden, experts.innerSize(), false);
            specs.linear(name + names.down(), experts.innerSize(), hidden, false);
        }
        if (experts.sharedSize() > 0) {
            String name = part(block) + ".shared_expert";
            specs.linear(name + "." + names.gate(), hidden, experts.sharedSize(), false);
            specs.linear(name + "." + names.up(), hidden, experts.sharedSize(), false);
            specs.linear(name + "." + names.down(), experts.sharedSize(), hidden, false);
            specs.linear(name + "_gate", hidden, 1, false);
        }
    }

    MixtureOfExperts build(WeightBinder source, String block) {
        String router = part(block) + ".gate";
        Router choice = new Router(source.tensor(router + ".weight"), experts.active(), experts.normalised());
        List<GatedMlp> mlps = new ArrayList<>();
        for (int i = 0; i < experts.count(); i++) {
            mlps.add(mlp(source, expert(block, i)));
        }
        MixtureOfExperts.Shared shared = null;
        if (experts.sharedSize() > 0) {
            String name = part(block) + ".shared_expert";
            shared = new MixtureOfExperts.Shared(mlp(source, name + "."), ModelBuilder.linear(source, name + "_gate"));
        }
        return new MixtureOfExperts(new Named<>(router, choice), mlps, shared);
    }

    private GatedMlp mlp(WeightBinder source, String name) {
        List<Named<Linear>> inputs = List.of(
                ModelBuilder.linear(source, name + names.gate()), ModelBuilder.linear(source, name + names.up()));
        return new GatedMlp(
                config.activation(),
                ProjectionGroup.separate(inputs),
                ModelBuilder.linear(source, name + names.down()));
    }
}
