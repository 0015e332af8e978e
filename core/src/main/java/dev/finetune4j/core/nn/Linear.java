package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.GemvWeight;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A projection {@code y = x Wᵀ (+ b)} whatever the form of its weight: dense, 4-bit, or with an adapter around it.
 *
 * <p>This is the seam between the model families, which only know linears, and everything that replaces one: quantization
 * enters through a {@link LinearFactory} at load time, an adapter by wrapping the loaded linear.
 */
public interface Linear extends AutoCloseable {
    /**
     * Projects the last dimension.
     *
     * @param x shape (…, {@link #inFeatures()}), in the model's precision
     * @return shape (…, {@link #outFeatures()}), in the precision of {@code x}
     */
    Tensor forward(Tensor x);

    /** Size of the last dimension of the input. */
    long inFeatures();

    /** Size of the last dimension of the output. */
    long outFeatures();

    /**
     * The weight as a dense matrix in a tensor that the caller's scope owns.
     *
     * @return shape (out, in), float32
     */
    Tensor denseWeight();

    /**
     * The tensors that full fine-tuning can train, by the suffix of their Hugging Face name ({@code weight},
     * {@code bias}); empty when the form of the weight cannot be trained, as for 4-bit codes.
     */
    Map<String, Tensor> parameters();

    /** The bias that {@link #forward} adds, shape (out); null when there is none. */
    @Nullable
    Tensor bias();

    /**
     * The matmul by the weight while nothing of this linear is trained, so that others may run forward and backward by
     * themselves; null when libtorch must record it. The bias is not in it.
     */
    default @Nullable FrozenMatmul frozen() {
        return null;
    }

    /**
     * Linears of one input as one operation, if this one knows how; the group asks each until one does.
     *
     * @param linears in order, this one among them
     */
    default Optional<FusedLinears> fusedWith(List<Linear> linears) {
        return Optional.empty();
    }

    /**
     * The weights of linears of one shape as one tensor, where they lie behind one another and what is added to them is alike.
     *
     * @param linears in order, this one among the first group's
     * @param groups how many of equal size they make, each with the rows of so many of them
     */
    default Optional<WeightStack> stackedWith(List<Linear> linears, int groups) {
        return Optional.empty();
    }

    /**
     * Another linear and what is added to its products.
     *
     * @param base the other one
     * @param added of factors that are not trained meanwhile
     */
    record LowRankAddition(Linear base, GemvWeight.LowRank added) {}

    /** This linear as another one with a low-rank addition, so that several of these can share the other; null if it is not. */
    default @Nullable LowRankAddition addition() {
        return null;
    }

    /** Whether the forward pass drops something in passes that record gradients; see {@link Dropout}. */
    default boolean hasDropout() {
        return false;
    }

    /**
     * How this linear is computed for few rows by kernels of our own; null where there is no such way.
     *
     * @param type of the input and the output
     */
    default @Nullable GemvWeight<?> gemvWeight(ScalarType type) {
        return null;
    }

    /**
     * A linear for few rows: {@code y = output ⊙ (weight (input ⊙ x)) + bias}. What lies in the tensors is not trained meanwhile.
     *
     * @param weight with its own bias and addition
     * @param input shape (in), float32; null for ones
     * @param output shape (out), float32; null for ones
     * @param bias shape (out), float32; null for none
     */
    record Rescaled(
            GemvWeight<?> weight,
            @Nullable Tensor input,
            @Nullable Tensor output,
            @Nullable Tensor bias) {
        /** Whether it is the weight alone. */
        public boolean isPlain() {
            return input == null && output == null && bias == null;
        }
    }

    /**
     * As {@link #gemvWeight}, where inputs or outputs are rescaled too. The tensors stay where they are at every call, which brings
     * them up to date.
     *
     * @param type of the input and the output
     */
    default @Nullable Rescaled rescaled(ScalarType type) {
        GemvWeight<?> weight = gemvWeight(type);
        return weight == null ? null : new Rescaled(weight, null, null, null);
    }

    /** Frees the tensors that this linear owns. Closing twice is fine. */
    @Override
    void close();
}
