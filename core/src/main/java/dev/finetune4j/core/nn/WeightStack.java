package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.ExpertGemv;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The weights of many linears as one tensor, such as those of all experts. It owns nothing. */
public interface WeightStack {
    /**
     * The weights in a type: a view where they are stored so, or a tensor that the caller's scope owns.
     *
     * @return shape (groups, out, in), contiguous
     */
    Tensor dense(ScalarType type);

    /** Whether the pass in progress needs the linears one by one, because it trains weights or drops something of inputs. */
    default boolean isOneByOne() {
        return false;
    }

    /** What is added to the weights; null for nothing. */
    default @Nullable LowRankStack addition() {
        return null;
    }

    /**
     * How few rows are multiplied by some of the weights; null where there is no such way.
     *
     * @param type of the rows
     */
    default @Nullable ExpertGemv gemv(ScalarType type) {
        return null;
    }
}
