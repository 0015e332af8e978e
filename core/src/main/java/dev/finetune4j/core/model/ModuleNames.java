package dev.finetune4j.core.model;

import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * The Hugging Face module paths of the parts of a model, known from config.json alone: what an adapter's settings are
 * checked against before any weight is read. Immutable; the sets keep the model's order.
 *
 * @param embeddings tables of token vectors, such as {@code model.embed_tokens}
 * @param linears projections, the one to the vocabulary ({@code lm_head}) last, whether or not it shares the embedding's
 *     weight
 * @param norms such as {@code model.layers.0.input_layernorm}
 */
public record ModuleNames(Set<String> embeddings, Set<String> linears, Set<String> norms) {
    public ModuleNames {
        embeddings = ordered(embeddings);
        linears = ordered(linears);
        norms = ordered(norms);
    }

    /** All of them. */
    public Set<String> all() {
        Set<String> all = new LinkedHashSet<>(embeddings);
        all.addAll(linears);
        all.addAll(norms);
        return all;
    }

    private static Set<String> ordered(Set<String> names) {
        return Collections.unmodifiableSet(new LinkedHashSet<>(names));
    }
}
