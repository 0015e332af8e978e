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
import java.util.stream.IntStream;
import java.util.stream.Stream;

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

    /** Gate and up of each expert in turn. */
    private List<String> inputs(String block) {
        return IntStream.range(0, experts.count())
                .mapToObj(i -> expert(block, i))
                .flatMap(name -> Stream.of(name + names.gate(), name + names.up()))
                .toList();
    }

    private List<String> outputs(String block) {
        return IntStream.range(0, experts.count())
                .mapToObj(i -> expert(block, i) + names.down())
                .toList();
    }

    void weightSpecs(WeightSpecs specs, String block) {
        long hidden = config.hiddenSize();
        specs.tensor(part(block) + ".gate.weight", experts.count(), hidden);
        inputs(block).forEach(name -> specs.linear(name, hidden, experts.innerSize(), false));
        outputs(block).forEach(name -> specs.linear(name, experts.innerSize(), hidden, false));
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
        List<Named<Linear>> inputs = source.linears(inputs(block));
        List<Named<Linear>> outputs = source.linears(outputs(block));
        List<GatedMlp> mlps = new ArrayList<>();
        for (int i = 0; i < experts.count(); i++) {
            mlps.add(new GatedMlp(
                    config.activation(), ProjectionGroup.separate(inputs.subList(2 * i, 2 * i + 2)), outputs.get(i)));
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
