package dev.finetune4j.core.model;

/**
 * The numbers that define a decoder, as values: what differs between families is a value here or another block, never a
 * test on a model's name. Names follow Hugging Face's config.json.
 *
 * @param modelType {@code model_type} of config.json
 * @param hiddenSize width of the residual stream, D
 * @param layers number of decoder blocks
 * @param heads number of query heads
 * @param kvHeads number of key and value heads, a divisor of {@code heads}
 * @param headDim channels of one head
 * @param intermediateSize inner width of the feed-forward part
 * @param vocabSize rows of the embedding, V
 * @param maxPositions longest sequence that the model was made for, in tokens
 * @param rmsNormEpsilon ε of the norms
 * @param ropeTheta base of the rotary frequencies
 * @param tiedHead whether the vocabulary projection shares the embedding's weight
 * @param attentionBias whether the four attention projections have biases
 * @param mlpBias whether the three feed-forward projections have biases
 */
public record ModelConfig(
        String modelType,
        int hiddenSize,
        int layers,
        int heads,
        int kvHeads,
        int headDim,
        int intermediateSize,
        int vocabSize,
        int maxPositions,
        double rmsNormEpsilon,
        double ropeTheta,
        boolean tiedHead,
        boolean attentionBias,
        boolean mlpBias) {
    public ModelConfig {
        if (hiddenSize < 1 || layers < 1 || heads < 1 || intermediateSize < 1 || vocabSize < 1 || maxPositions < 1) {
            throw new IllegalArgumentException("every size of a model must be at least 1");
        }
        if (kvHeads < 1 || heads % kvHeads != 0) {
            throw new IllegalArgumentException(
                    "num_key_value_heads (" + kvHeads + ") must divide num_attention_heads (" + heads + ")");
        }
        if (headDim < 2 || headDim % 2 != 0) {
            throw new IllegalArgumentException("head_dim must be even and at least 2, but is " + headDim);
        }
    }
}
