package dev.finetune4j.core.kernel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The arguments of a {@link GemvKernel}'s launch, put together weight by weight. */
public final class GemvArguments {
    private static final int OF_ENDING = 5;

    private final List<@Nullable Object> values = new ArrayList<>();
    private final int rows;
    private final @Nullable Tensor low;
    private long lowNumbers;

    /** @param low as {@link GemvKernel#launch} has it */
    public GemvArguments(int rows, @Nullable Tensor low) {
        this.rows = rows;
        this.low = low;
    }

    /** Adds arguments as {@link dev.finetune4j.core.kernel.cuda.CudaKernel#launch} takes them. */
    public GemvArguments add(@Nullable Object... more) {
        Collections.addAll(values, more);
        return this;
    }

    /**
     * Adds what is done to a weight's product: bias, narrow product, B, rank, outputs.
     *
     * @throws IllegalArgumentException when the weight has an addition but its narrow product is not there
     */
    public GemvArguments addEnding(GemvWeight<?> weight) {
        GemvWeight.LowRank addition = weight.addition();
        if (addition == null) {
            return add(weight.bias(), null, null, 0, weight.out());
        }
        if (low == null || low.numel() < lowNumbers + (long) rows * addition.rank()) {
            throw new IllegalArgumentException("the narrow products of the low-rank additions are not there");
        }
        try (Pointer start = low.data_ptr()) {
            add(weight.bias(), start.address() + Float.BYTES * lowNumbers, addition.b(), addition.rank(), weight.out());
        }
        lowNumbers += (long) rows * addition.rank();
        return this;
    }

    /** Stands for a weight that is not there: its own arguments and those of its ending. */
    public GemvArguments addNothing(int own) {
        return add(new @Nullable Object[own + OF_ENDING]);
    }

    /** Adds a norm of x as {@code norm.cuh} has it; null for none. */
    public GemvArguments addNorm(@Nullable NormSpec norm) {
        CudaNorm.add(values, norm);
        return this;
    }

    /** All of them, in order. */
    public @Nullable Object[] toArray() {
        return values.toArray();
    }
}
