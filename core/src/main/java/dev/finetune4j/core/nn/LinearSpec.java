package dev.finetune4j.core.nn;

/**
 * What a model family asks a {@link LinearFactory} to make.
 *
 * @param name Hugging Face module path, such as {@code model.layers.0.self_attn.q_proj}; the weight's tensor is this name
 *     with {@code .weight} behind it
 * @param inFeatures size of the input's last dimension
 * @param outFeatures size of the output's last dimension
 * @param bias whether the checkpoint has a bias tensor for it
 * @param outputHead whether this is the projection to the vocabulary, which quantization leaves dense
 */
public record LinearSpec(String name, long inFeatures, long outFeatures, boolean bias, boolean outputHead) {
    /** Name of the weight's tensor. */
    public String weightName() {
        return name + ".weight";
    }

    /** Name of the bias tensor, which exists only if {@link #bias()}. */
    public String biasName() {
        return name + ".bias";
    }
}
