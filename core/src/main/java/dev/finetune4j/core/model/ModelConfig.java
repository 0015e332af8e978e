package dev.finetune4j.core.model;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.List;

/**
 * The numbers that define a decoder, as values: what differs between families is a value here, never a test on a model's
 * name. Names follow Hugging Face's config.json.
 *
 * @param modelType {@code model_type} of config.json
 * @param hiddenSize width of the residual stream, D
 * @param intermediateSize inner width of the feed-forward part
 * @param vocabSize rows of the embedding, V
 * @param maxPositions longest sequence that the model was made for, in tokens
 * @param attention heads and scores
 * @param layerKinds what differs from layer to layer, one for each
 * @param activation of the feed-forward part
 * @param norms form of the norms
 * @param parts which linears there are and which of them have biases
 * @param embeddingScale factor on the embedding's rows
 * @param logitSoftCap bound that a hyperbolic tangent puts on the logits; 0 for none
 */
public record ModelConfig(
        String modelType,
        int hiddenSize,
        int intermediateSize,
        int vocabSize,
        int maxPositions,
        Attention.Shape attention,
        List<LayerKind> layerKinds,
        Activation activation,
        Norms norms,
        Parts parts,
        double embeddingScale,
        double logitSoftCap) {
    /**
     * What may differ between layers.
     *
     * @param rope rotary frequencies
     * @param window how many positions a token sees, itself included; 0 for all
     */
    public record LayerKind(RopeSpec rope, int window) {}

    /**
     * The norms of a decoder.
     *
     * @param epsilon added to the mean square
     * @param unitOffset whether the factor is one plus the weight
     * @param postNorms whether each half of a block has a norm behind it too
     * @param qkNorm whether each head's queries and keys are normalised
     */
    public record Norms(double epsilon, boolean unitOffset, boolean postNorms, boolean qkNorm) {}

    /**
     * The linears of a decoder.
     *
     * @param fusedProjections whether queries, keys and values, and gate and up, each share one weight
     * @param inputBias whether the projections to queries, keys and values have biases
     * @param outputBias whether attention's output projection has one
     * @param mlpBias whether the feed-forward projections have biases
     * @param tiedHead whether the vocabulary projection shares the embedding's weight
     */
    public record Parts(
            boolean fusedProjections, boolean inputBias, boolean outputBias, boolean mlpBias, boolean tiedHead) {}

    public ModelConfig {
        layerKinds = List.copyOf(layerKinds);
        if (hiddenSize < 1 || layerKinds.isEmpty() || intermediateSize < 1 || vocabSize < 1 || maxPositions < 1) {
            throw new IllegalArgumentException("every size of a model must be at least 1");
        }
        if (attention.kvHeads() < 1 || attention.heads() % attention.kvHeads() != 0) {
            throw new IllegalArgumentException("num_key_value_heads (" + attention.kvHeads()
                    + ") must divide num_attention_heads (" + attention.heads() + ")");
        }
        if (attention.headDim() < 2 || attention.headDim() % 2 != 0) {
            throw new IllegalArgumentException("head_dim must be even and at least 2, but is " + attention.headDim());
        }
    }

    /** The same model with a vocabulary projection that shares the embedding's weight, or one with its own. */
    ModelConfig withTiedHead(boolean tied) {
        Parts changed = new Parts(parts.fusedProjections, parts.inputBias, parts.outputBias, parts.mlpBias, tied);
        return new ModelConfig(
                modelType,
                hiddenSize,
                intermediateSize,
                vocabSize,
                maxPositions,
                attention,
                layerKinds,
                activation,
                norms,
                changed,
                embeddingScale,
                logitSoftCap);
    }

    /** Number of decoder blocks. */
    public int layers() {
        return layerKinds.size();
    }
}
