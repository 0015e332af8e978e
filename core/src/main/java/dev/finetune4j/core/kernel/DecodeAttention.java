package dev.finetune4j.core.kernel;

import org.jspecify.annotations.Nullable;

/**
 * What decode kernels must know of one layer's attention.
 *
 * @param shape heads and scores
 * @param queryNorm norm of each query head, before it is rotated, with a weight of shape (head size) or, where each has its own,
 *     (heads, head size), or of all together with one of shape (heads · head size); null for none
 * @param keyNorm as queryNorm
 * @param angles which of the {@link DecodeWorkspace#angles} rotate the heads
 */
public record DecodeAttention(
        AttentionSpec shape,
        @Nullable NormSpec queryNorm,
        @Nullable NormSpec keyNorm,
        int angles) {
    /** Whether norms are others than root mean squares of each head with one weight for all. */
    boolean normalizesApart() {
        return queryNorm != null
                && (queryNorm.centered()
                        || queryNorm.weight().dim() > 1
                        || queryNorm.weight().numel() > shape.headDim());
    }

    /** The same behind its norms. */
    DecodeAttention normalized() {
        return new DecodeAttention(shape, null, null, angles);
    }
}
