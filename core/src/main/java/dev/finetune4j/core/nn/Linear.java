package dev.finetune4j.core.nn;

import java.util.Map;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A projection {@code y = x Wᵀ (+ b)} whatever the form of its weight: dense, 4-bit, or with an adapter around it.
 *
 * <p>This is the seam between the model families, which only know linears, and everything that replaces one: quantization
 * enters through a {@link LinearFactory} at load time, an adapter by wrapping the loaded linear.
 *
 * <p>Forward calls may run in several threads at once; closing may not overlap with them.
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
     * As {@link #forward(Tensor)}, for an input that can be made again: what needs it in the backward pass may ask for it
     * then and need not keep it.
     *
     * @param again makes {@code x} once more while the backward pass runs; the caller's scope owns what it makes
     */
    default Tensor forward(Tensor x, Supplier<Tensor> again) {
        return forward(x);
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
     * How a GPU computes this linear for few rows without allocating memory; null where there is no such way.
     *
     * @param type of the input and the output
     */
    default @Nullable RowWeight rowWeight(ScalarType type) {
        return null;
    }

    /** Frees the tensors that this linear owns. Closing twice is fine. */
    @Override
    void close();
}
