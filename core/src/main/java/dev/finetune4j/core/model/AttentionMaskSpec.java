package dev.finetune4j.core.model;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Which positions a token may look at in one forward pass.
 *
 * @param past positions before the new ones
 * @param count new positions, T
 * @param lengths lengths of the sequences that lie behind one another in a packed row; null for one sequence
 */
record AttentionMaskSpec(long past, long count, long @Nullable [] lengths) {
    /** Position of each new token in its own sequence, for a packed row. */
    long[] restartingPositions() {
        long[] positions = new long[Math.toIntExact(count)];
        int at = 0;
        for (long length : Objects.requireNonNull(lengths)) {
            for (long i = 0; i < length; i++) {
                positions[at++] = i;
            }
        }
        return positions;
    }

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
        if (lengths == null && everything && (past == 0 || count == 1)) {
            return null;
        }
        Tensor mask = Tensors.ones(device, ScalarType.Bool, count, total).tril(past);
        if (!everything) {
            mask = mask.triu(past - window + 1);
        }
        if (lengths != null) {
            Tensor owner = owners(device);
            mask = mask.logical_and(owner.view(-1, 1).eq(owner.view(1, -1)));
        }
        return mask;
    }

    /** The number of the sequence that each new position belongs to. */
    private Tensor owners(ComputeDevice device) {
        long[] owners = new long[Math.toIntExact(count)];
        int at = 0;
        int owner = 0;
        for (long length : Objects.requireNonNull(lengths)) {
            Arrays.fill(owners, at, at + Math.toIntExact(length), owner++);
            at += Math.toIntExact(length);
        }
        return Tensors.ofLongs(device, owners, owners.length);
    }
}
