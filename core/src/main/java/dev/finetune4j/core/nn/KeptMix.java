package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.SequenceAttention.Mixed;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * What the heads of one layer gave, kept from the forward pass of a block until that block is recomputed for its backward pass, so
 * that attention is not. For one pass; it belongs to the step around both.
 */
public final class KeptMix {
    private @Nullable Mixed mixed;

    /** Nothing yet. */
    public KeptMix() {}

    /** What was kept, which is no longer kept then; the first time, what is computed, which is kept. */
    Mixed take(Supplier<Mixed> computed) {
        Mixed kept = mixed;
        if (kept == null) {
            Mixed made = computed.get();
            mixed = each(made, KeptMix::forStep);
            return made;
        }
        mixed = null;
        return each(kept, KeptMix::moved);
    }

    private static Mixed each(Mixed mixed, UnaryOperator<Tensor> change) {
        return new Mixed(
                change.apply(mixed.y()), mixed.kept().stream().map(change).toList());
    }

    private static Tensor forStep(Tensor tensor) {
        try (TensorScope scope = new TensorScope()) {
            return scope.keepForStep(tensor.detach());
        }
    }

    private static Tensor moved(Tensor tensor) {
        Tensor here = tensor.detach();
        tensor.close();
        return here;
    }
}
