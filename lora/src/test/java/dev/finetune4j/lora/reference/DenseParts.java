package dev.finetune4j.lora.reference;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.DenseEmbedding;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.PartMapper;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.TiedHead;

/**
 * Replaces every part that an adapter changes by a plain one with the merged weight, as a merged checkpoint would have it.
 * The weights belong to the scope that is open while parts are replaced.
 */
final class DenseParts implements PartMapper {
    private final PartMapper merging;
    private final Embedding table;

    DenseParts(PartMapper merging, CausalLM base) {
        this.merging = merging;
        String name = base.moduleNames().embeddings().iterator().next();
        Embedding merged = merging.embedding(name, base.embedding());
        this.table = merged.equals(base.embedding())
                ? merged
                : new DenseEmbedding(merged.denseWeight(), base.embedding().scale());
    }

    @Override
    public Embedding embedding(String name, Embedding embedding) {
        return table;
    }

    @Override
    public Linear linear(String name, Linear linear) {
        Linear merged = merging.linear(name, linear);
        if (merged instanceof TiedHead) {
            // A tied checkpoint has one table, so the head changes with it.
            return table instanceof DenseEmbedding dense ? new TiedHead(dense.weight()) : merged;
        }
        return merged.equals(linear) ? linear : new DenseLinear(merged.denseWeight(), merged.bias());
    }

    @Override
    public RmsNorm norm(String name, RmsNorm norm) {
        return merging.norm(name, norm);
    }
}
