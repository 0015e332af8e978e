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

    /**
     * As {@link #forward(Tensor)}, for an input that goes nowhere else and is recomputed in the backward pass: who needs it
     * there need not keep it.
     *
     * @param recomputation recomputes {@code x}
     */
    default Tensor forward(Tensor x, Recomputation recomputation) {
        return forward(x);
    }

    /**
     * As {@link #forward(Tensor)} where only the backward pass matters, because the result was computed before: what it
     * returns has the shape and the gradients of the result, but perhaps not its values.
     *
     * @param recomputation as for {@link #forward(Tensor, Recomputation)}; null if nothing recomputes {@code x}
     */
    default Tensor forwardForGradient(Tensor x, @Nullable Recomputation recomputation) {
        return recomputation == null ? forward(x) : forward(x, recomputation);
    }

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
     * Whether the output depends on nothing that is trained but {@code x}, and {@link #inputGradient} is there; an adapter
     * around such a linear can run forward and backward by itself.
     */
    default boolean isFrozen() {
        return false;
    }

    /**
     * The gradient of the input of a frozen linear, {@code dx = dy W}.
     *
     * @param gradient that of the output, shape (…, {@link #outFeatures()})
     * @return shape (…, {@link #inFeatures()}), a new tensor in the precision of the gradient
     * @throws UnsupportedOperationException if the linear is not frozen
     */
    default Tensor inputGradient(Tensor gradient) {
        throw new UnsupportedOperationException("this linear leaves its backward pass to libtorch");
    }

    /**
     * Adds the product with the weight of a frozen linear to what is there, {@code y += x Wᵀ}; the bias stays out.
     *
     * @param y shape (n, out), each row contiguous
     * @param x shape (n, in)
     * @throws UnsupportedOperationException if the linear is not frozen
     */
    default void addProduct(Tensor y, Tensor x) {
        throw new UnsupportedOperationException("this linear leaves its forward pass to libtorch");
    }

    /**
     * Adds the gradient of the input to what is there, {@code dx += dy W}.
     *
     * @param dx shape (n, in)
     * @param gradient shape (n, out), each row contiguous
     * @throws UnsupportedOperationException if the linear is not frozen
     */
    default void addInputGradient(Tensor dx, Tensor gradient) {
        dx.add_(inputGradient(gradient));
    }

    /**
     * The weights of frozen linears with one input, as one matrix with their rows behind one another.
     *
     * @param linears this one among them
     */
    default StackedWeights stackedWith(List<Linear> linears) {
        return StackedWeights.oneByOne(linears);
    }

    /**
     * These linears of one input as one operation, if this one knows how; the group asks each until one does.
     *
     * @param linears in order, this one among them
     */
    default Optional<FusedLinears> joinedWith(List<Linear> linears) {
        return Optional.empty();
    }

    /** Whether the forward pass drops something in passes that record gradients; see {@link Dropout}. */
    default boolean isRandom() {
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

    /** Frees the tensors that this linear owns. Closing twice is fine. */
    @Override
    void close();
}
