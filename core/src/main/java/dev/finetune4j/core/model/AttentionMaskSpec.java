package dev.finetune4j.core.model;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Which positions a token may look at in one forward pass.
 *
 * @param past positions before the new ones
 * @param count new positions, T
 */
record AttentionMaskSpec(long past, long count) {
    /**
     * The mask of layers with a window.
     *
     * @param window how many positions a token sees, itself included; 0 for all
     * @return shape (T, past + T), true where a token may look; null when the plain causal rule or no rule says the same
     */
    @Nullable
    Tensor mask(ComputeDevice device, int window) {
        long total = past + count;
        boolean everything = window == 0 || total <= window;
        if (everything && (past == 0 || count == 1)) {
            return null;
        }
        Tensor mask = Tensors.ones(device, ScalarType.Bool, count, total).tril(past);
        if (!everything) {
            mask = mask.triu(past - window + 1);
        }
        return mask;
    }
}
