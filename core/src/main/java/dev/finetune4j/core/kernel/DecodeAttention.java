package dev.finetune4j.core.kernel;

import org.jspecify.annotations.Nullable;

/**
 * What decode kernels must know of one layer's attention.
 *
 * @param shape heads and scores
 * @param queryNorm norm of each query head, before it is rotated, with a weight of shape (head size), or of all together with one
 *     of shape (heads · head size); null for none
 * @param keyNorm as queryNorm
 * @param angles which of the {@link DecodeWorkspace#angles} rotate the heads
 */
public record DecodeAttention(
        AttentionSpec shape,
        @Nullable NormSpec queryNorm,
        @Nullable NormSpec keyNorm,
        int angles) {
    /** Whether norms are over the channels of all heads together. */
    boolean normalizesAllHeads() {
        return queryNorm != null && queryNorm.weight().numel() > shape.headDim();
    }

    /** The same behind its norms. */
    DecodeAttention normalized() {
        return new DecodeAttention(shape, null, null, angles);
    }
}
