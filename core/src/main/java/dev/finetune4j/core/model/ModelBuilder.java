package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.BlockNorms;
import dev.finetune4j.core.model.ModelConfig.Experts;
import dev.finetune4j.core.model.ModelConfig.HeadNorms;
import dev.finetune4j.core.model.ModelConfig.Mlp;
import dev.finetune4j.core.model.ModelConfig.Projections;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.DenseEmbedding;
import dev.finetune4j.core.nn.FeedForward;
import dev.finetune4j.core.nn.GatedMlp;
import dev.finetune4j.core.nn.HeadNorm;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.PlainMlp;
import dev.finetune4j.core.nn.ProjectionGroup;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.TiedHead;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The decoder that all families are: which tensors the weights of a configuration have, and how its parts are put
 * together. Module names are those of Hugging Face.
 */
final class ModelBuilder {
    private final ModelConfig config;
    private final Attention.Shape shape;
    private final Projections projections;

    ModelBuilder(ModelConfig config) {
        this.config = config;
        this.shape = config.attention();
        this.projections = config.projections();
    }

    private long queries() {
        return (long) shape.heads() * shape.headDim();
    }

    private long keys() {
        return (long) shape.kvHeads() * shape.headDim();
    }

    private static String block(int index) {
        return "model.layers." + index;
    }

    /** The tensors and linears that the weights must have. */
    WeightSpecs weightSpecs() {
        WeightSpecs specs = WeightSpecs.empty();
        long hidden = config.hiddenSize();
        specs.tensor("model.embed_tokens.weight", config.vocabSize(), hidden);
        for (int i = 0; i < config.layers(); i++) {
            for (String norm : config.norms().block().names()) {
                specs.norm(block(i) + "." + norm, config.norms().bias(), hidden);
            }
            attention(specs, block(i), hidden);
            feedForward(specs, i, hidden);
            specs.ignored().add(block(i) + ".self_attn.rotary_emb.inv_freq");
        }
        specs.ignored().add("model.rotary_emb.inv_freq");
        specs.norm("model.norm", config.norms().bias(), hidden);
        if (projections.tiedHead()) {
            specs.ignored().add("lm_head.weight");
        } else {
            specs.outputHead(ModuleNames.OUTPUT_HEAD, hidden, config.vocabSize());
        }
        return specs;
    }

    private void attention(WeightSpecs specs, String block, long hidden) {
        String name = block + ".self_attn";
        if (projections.fusedQkv()) {
            specs.linear(name + ".qkv_proj", hidden, queries() + 2 * keys(), projections.qkvBias());
        } else {
            specs.linear(name + ".q_proj", hidden, queries(), projections.qkvBias());
            specs.linear(name + ".k_proj", hidden, keys(), projections.qkvBias());
            specs.linear(name + ".v_proj", hidden, keys(), projections.qkvBias());
        }
        headNorms(name, "q", shape.heads()).forEach(norm -> specs.norm(norm, false, headNorm(shape.heads())));
        headNorms(name, "k", shape.kvHeads()).forEach(norm -> specs.norm(norm, false, headNorm(shape.kvHeads())));
        specs.linear(name + ".o_proj", queries(), hidden, projections.outputBias());
    }

    /** The modules that normalise the heads of queries (q) or keys (k). */
    private List<String> headNorms(String attention, String of, int heads) {
        String name = attention + "." + of;
        return switch (config.norms().heads()) {
            case NONE -> List.of();
            case OWN_MODULES ->
                IntStream.range(0, heads)
                        .mapToObj(head -> name + "_layernorm.norms." + head)
                        .toList();
            default -> List.of(name + "_norm");
        };
    }

    /** The shape of a norm's weight. */
    private long[] headNorm(long heads) {
        return switch (config.norms().heads()) {
            case OWN_WEIGHTS -> new long[] {heads, shape.headDim()};
            case ALL_HEADS -> new long[] {heads * shape.headDim()};
            default -> new long[] {shape.headDim()};
        };
    }

    private void feedForward(WeightSpecs specs, int layer, long hidden) {
        Experts experts = config.layerTypes().get(layer).experts();
        if (experts == null) {
            mlp(specs, block(layer) + ".mlp", hidden);
        } else {
            new ExpertsBuilder(config, experts).weightSpecs(specs, block(layer));
        }
    }

    private void mlp(WeightSpecs specs, String name, long hidden) {
        long inner = config.intermediateSize();
        Mlp mlp = projections.mlp();
        for (String input : mlp.inputs()) {
            specs.linear(name + "." + input, hidden, mlp.isFused() ? 2 * inner : inner, projections.mlpBias());
        }
        specs.linear(name + "." + mlp.output(), inner, hidden, projections.mlpBias());
    }

    /** Puts the decoder together from parts that are made on demand. */
    CausalLM build(WeightBinder source) {
        DenseEmbedding embedding =
                new DenseEmbedding(source.tensor("model.embed_tokens.weight"), config.embeddingScale());
        List<DecoderBlock> blocks = new ArrayList<>();
        for (int i = 0; i < config.layers(); i++) {
            blocks.add(block(source, i));
        }
        Named<RmsNorm> norm = norm(source, "model.norm");
        return CausalLM.owning(DecoderWeights.of(
                config,
                source,
                embedding,
                blocks,
                norm,
                projections.tiedHead() ? new TiedHead(embedding.weight()) : source.linear(ModuleNames.OUTPUT_HEAD)));
    }

    private DecoderBlock block(WeightBinder source, int layer) {
        String name = block(layer);
        BlockNorms norms = config.norms().block();
        DecoderBlock.Norms aroundAttention = norms(source, name, norms.beforeAttention(), norms.afterAttention());
        Attention attention = attention(source, name + ".self_attn");
        DecoderBlock.Norms aroundMlp = norms(source, name, norms.beforeMlp(), norms.afterMlp());
        Experts experts = config.layerTypes().get(layer).experts();
        FeedForward mlp =
                experts == null ? mlp(source, name + ".mlp") : new ExpertsBuilder(config, experts).build(source, name);
        return new DecoderBlock(aroundAttention, attention, aroundMlp, mlp, norms.parallel());
    }

    private DecoderBlock.Norms norms(
            WeightBinder source, String block, @Nullable String before, @Nullable String after) {
        return new DecoderBlock.Norms(
                before == null ? null : norm(source, block + "." + before),
                after == null ? null : norm(source, block + "." + after),
                config.residualMultiplier());
    }

    private Attention attention(WeightBinder source, String name) {
        ProjectionGroup inputs = projections.fusedQkv()
                ? ProjectionGroup.stacked(linear(source, name + ".qkv_proj"), queries(), keys(), keys())
                : ProjectionGroup.separate(List.of(
                        linear(source, name + ".q_proj"),
                        linear(source, name + ".k_proj"),
                        linear(source, name + ".v_proj")));
        Attention.@Nullable HeadNorms norms = config.norms().heads() == HeadNorms.NONE
                ? null
                : new Attention.HeadNorms(
                        headNorm(source, headNorms(name, "q", shape.heads())),
                        headNorm(source, headNorms(name, "k", shape.kvHeads())));
        return new Attention(shape, inputs, norms, linear(source, name + ".o_proj"));
    }

    private HeadNorm headNorm(WeightBinder source, List<String> names) {
        return HeadNorm.ofEach(
                names.stream().map(name -> norm(source, name, false)).toList());
    }

    private FeedForward mlp(WeightBinder source, String name) {
        long inner = config.intermediateSize();
        Mlp mlp = projections.mlp();
        List<Named<Linear>> inputs = mlp.inputs().stream()
                .map(input -> linear(source, name + "." + input))
                .toList();
        Named<Linear> output = linear(source, name + "." + mlp.output());
        if (!mlp.gated()) {
            return new PlainMlp(config.activation(), inputs.get(0), output);
        }
        ProjectionGroup gateAndUp =
                mlp.isFused() ? ProjectionGroup.stacked(inputs.get(0), inner, inner) : ProjectionGroup.separate(inputs);
        return new GatedMlp(config.activation(), gateAndUp, output);
    }

    static Named<Linear> linear(WeightBinder source, String name) {
        return new Named<>(name, source.linear(name));
    }

    private Named<RmsNorm> norm(WeightBinder source, String name) {
        return norm(source, name, config.norms().bias());
    }

    private Named<RmsNorm> norm(WeightBinder source, String name, boolean bias) {
        RmsNorm norm = new RmsNorm(
                source.tensor(name + ".weight"),
                bias ? source.tensor(name + ".bias") : null,
                config.norms().epsilon(),
                config.norms().unitOffset(),
                config.norms().centered());
        return new Named<>(name, norm);
    }
}
