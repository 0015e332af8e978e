package dev.finetune4j.core.kernel;

/**
 * What a kernel must know of one layer's attention.
 *
 * @param heads number of query heads
 * @param kvHeads number of key and value heads, a divisor of {@code heads}
 * @param headDim channels of one head
 * @param scale factor on the dot products
 * @param softCap bound that a hyperbolic tangent puts on the scaled dot products; 0 for none
 * @param window how many positions a token sees, itself included; 0 for all
 */
public record AttentionSpec(int heads, int kvHeads, int headDim, double scale, double softCap, int window) {}
