package dev.finetune4j.lora.adapter.layer;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.TiedHead;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The modules of a model that an adapter can sit on, by module path in the model's order; the head is among the linears
 * even when it shares the embedding's weight.
 */
public record BaseModules(
        ModuleNames names, Map<String, Embedding> embeddings, Map<String, Linear> linears, Map<String, RmsNorm> norms) {
    public static BaseModules of(CausalLM base) {
        Map<String, Embedding> embeddings = new LinkedHashMap<>();
        Map<String, Linear> found = new LinkedHashMap<>();
        Map<String, RmsNorm> norms = new LinkedHashMap<>();
        base.map(new ModuleTransform() {
            @Override
            public Embedding embedding(String name, Embedding embedding) {
                embeddings.put(name, embedding);
                return embedding;
            }

            @Override
            public Linear linear(String name, Linear linear) {
                found.put(name, linear);
                return linear;
            }

            @Override
            public RmsNorm norm(String name, RmsNorm norm) {
                norms.put(name, norm);
                return norm;
            }
        });
        ModuleNames names = base.moduleNames();
        Map<String, Linear> linears = new LinkedHashMap<>();
        names.linears().forEach(name -> linears.put(name, found.get(name)));
        return new BaseModules(names, embeddings, linears, norms);
    }

    /** Whether the projection to the vocabulary shares the embedding's weight. */
    public boolean tiedHead() {
        return linears.values().stream().anyMatch(TiedHead.class::isInstance);
    }
}
