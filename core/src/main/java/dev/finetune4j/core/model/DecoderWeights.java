package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.RopeSpec;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.nn.TiedHead;
import dev.finetune4j.core.tensor.Placement;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/**
 * The modules of a decoder with their weights, by Hugging Face module path.
 *
 * @param rotaries the tables of rotary angles, by what they are computed from
 * @param norm the norm behind the last block
 * @param head the projection to the vocabulary, tied or not
 * @param linears all projections; the head is there unless it is tied to the embedding
 */
record DecoderWeights(
        ModelConfig config,
        Placement placement,
        Embedding embedding,
        Map<RopeSpec, RotaryEmbedding> rotaries,
        List<DecoderBlock> blocks,
        Named<RmsNorm> norm,
        Linear head,
        Map<String, Linear> linears) {
    DecoderWeights {
        blocks = List.copyOf(blocks);
    }

    static DecoderWeights of(
            ModelConfig config,
            WeightBinder parts,
            Embedding embedding,
            List<DecoderBlock> blocks,
            Named<RmsNorm> norm,
            Linear head) {
        Placement placement = parts.placement();
        Map<RopeSpec, RotaryEmbedding> rotaries = new HashMap<>();
        for (LayerType kind : config.layerTypes()) {
            rotaries.computeIfAbsent(kind.rope(), spec -> new RotaryEmbedding(spec, placement.device()));
        }
        return new DecoderWeights(
                config, placement, embedding, rotaries, blocks, norm, head, new LinkedHashMap<>(parts.linears()));
    }

    /** Whether a linear draws dropout masks. */
    boolean hasDropout() {
        return head.hasDropout() || linears.values().stream().anyMatch(Linear::hasDropout);
    }

    ModuleNames moduleNames() {
        Set<String> norms = new LinkedHashSet<>();
        blocks.forEach(block -> block.forEachNorm(part -> norms.add(part.name())));
        norms.add(norm.name());
        Set<String> projections = new LinkedHashSet<>(linears.keySet());
        projections.add(ModuleNames.OUTPUT_HEAD);
        return new ModuleNames(Set.of(ModuleNames.EMBEDDING), projections, norms);
    }

    Map<String, Tensor> parameters() {
        Map<String, Tensor> parameters = new LinkedHashMap<>();
        embedding
                .parameters()
                .forEach((suffix, tensor) -> parameters.put(ModuleNames.EMBEDDING + "." + suffix, tensor));
        for (DecoderBlock block : blocks) {
            block.forEachNorm(part -> put(parameters, part));
            block.mlp()
                    .forEachRouter(router -> parameters.put(
                            router.name() + ".weight", router.module().weight()));
        }
        linears.forEach((name, linear) ->
                linear.parameters().forEach((suffix, tensor) -> parameters.put(name + "." + suffix, tensor)));
        put(parameters, norm);
        return parameters;
    }

    private static void put(Map<String, Tensor> parameters, Named<RmsNorm> norm) {
        norm.module().parameters().forEach((suffix, tensor) -> parameters.put(norm.name() + "." + suffix, tensor));
    }

    /** The same modules, each replaced by what the transform makes of it. */
    DecoderWeights map(ModuleTransform transform) {
        Map<String, Linear> replaced = new LinkedHashMap<>();
        linears.forEach((name, linear) -> replaced.put(name, transform.linear(name, linear)));
        Linear newHead = linears.containsKey(ModuleNames.OUTPUT_HEAD)
                ? replaced.get(ModuleNames.OUTPUT_HEAD)
                : transform.linear(ModuleNames.OUTPUT_HEAD, head);
        if (newHead == null) {
            throw new IllegalArgumentException("a part was replaced by nothing");
        }
        if (!(newHead instanceof TiedHead)) {
            replaced.put(ModuleNames.OUTPUT_HEAD, newHead);
        }
        ModuleTransform once = new ModuleTransform() {
            @Override
            public Linear linear(String name, Linear linear) {
                return replaced.getOrDefault(name, linear);
            }

            @Override
            public RmsNorm norm(String name, RmsNorm part) {
                return transform.norm(name, part);
            }
        };
        return new DecoderWeights(
                config,
                placement,
                transform.embedding(ModuleNames.EMBEDDING, embedding),
                rotaries,
                blocks.stream().map(block -> block.map(once)).toList(),
                norm.map(transform::norm),
                newHead,
                replaced);
    }

    void free() {
        embedding.close();
        rotaries.values().forEach(RotaryEmbedding::close);
        blocks.forEach(DecoderBlock::close);
        norm.module().close();
        linears.values().forEach(Linear::close);
    }
}
