package dev.finetune4j.core.nn;

/**
 * What replaces the parts of a model, given each part's Hugging Face module path: the seam through which every adapter
 * enters. A method that is not overridden leaves its parts as they are.
 */
public interface ModuleTransform {
    /** The embedding to use in place of the given one. */
    default Embedding embedding(String name, Embedding embedding) {
        return embedding;
    }

    /** The linear to use in place of the given one; the projection to the vocabulary is {@code lm_head}, tied or not. */
    default Linear linear(String name, Linear linear) {
        return linear;
    }

    /** The norm to use in place of the given one. */
    default RmsNorm norm(String name, RmsNorm norm) {
        return norm;
    }
}
