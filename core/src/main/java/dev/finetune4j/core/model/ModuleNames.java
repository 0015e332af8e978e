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
    /** The table of token vectors. */
    public static final String EMBEDDING = "model.embed_tokens";

    /** The projection to the vocabulary. */
    public static final String OUTPUT_HEAD = "lm_head";

    private static final String EXPERTS = ".experts.";

    public ModuleNames {
        embeddings = ordered(embeddings);
        linears = ordered(linears);
        norms = ordered(norms);
    }

    /** Whether this is the path of the projection to the vocabulary, which adapters and quantization leave alone by default. */
    public static boolean isOutputHead(String path) {
        return path.equals(OUTPUT_HEAD);
    }

    /**
     * Whether this is the path of a linear of one expert among many, of which a token passes a few; transformers and PEFT have them as
     * parameters of one module and not as linears.
     */
    public static boolean isOfExpert(String path) {
        return path.contains(EXPERTS);
    }

    /** The part of a model in which the {@linkplain #isOfExpert expert} of a linear is one of many. */
    public static String part(String path) {
        return path.substring(0, path.indexOf(EXPERTS));
    }

    /** Whether this is the path of the table of token vectors. */
    public static boolean isEmbedding(String path) {
        return path.equals(EMBEDDING);
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
