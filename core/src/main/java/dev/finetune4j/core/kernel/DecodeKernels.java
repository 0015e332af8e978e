package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What a decoder computes for one new token of each sequence besides its GEMVs, in one type of number. All calls work on the
 * {@link DecodeBuffers} of the decoder. What an implementation does not have it says of itself, so that a kind of attention or
 * norm that becomes supported changes one place. Thread-safe.
 */
public sealed interface DecodeKernels permits CpuDecodeKernels, CudaDecodeKernels {
    /** Channels of a head and numbers of a row come in multiples of this. */
    int VECTOR_WIDTH = 8;

    /** The most channels of a head. */
    int MAX_HEAD_SIZE = 256;

    /** The widest row of a norm. */
    int MAX_NORM_WIDTH = 1 << 14;

    /** The type of all numbers but positions and sums. */
    ScalarType type();

    /** What keeps {@link #attend} from a layer's attention, as the end of a sentence; empty when nothing does. */
    default Optional<String> unsupportedReason(AttentionSpec attention) {
        return attention.headDim() % VECTOR_WIDTH != 0 || attention.headDim() > MAX_HEAD_SIZE
                ? Optional.of("its heads have " + attention.headDim() + " channels")
                : Optional.empty();
    }

    /** What keeps {@link #norm} and {@link #attend} from a norm, as the end of a sentence; empty when nothing does. */
    default Optional<String> unsupportedReason(NormSpec norm) {
        long width = norm.weight().numel();
        if (width % VECTOR_WIDTH != 0 || width > MAX_NORM_WIDTH) {
            return Optional.of("a norm has " + width + " numbers");
        }
        ScalarType type = Tensors.typeOf(norm.weight());
        return type == type() || type == ScalarType.Float
                ? Optional.empty()
                : Optional.of("a norm's weight is of type " + type);
    }

    /**
     * The memory of steps up to a number of positions. Its tensors belong to the caller's scope until they are released from it.
     *
     * @param rows sequences
     * @param angles tables for that many positions, which the workspace owns from now on
     */
    DecodeWorkspace workspace(int rows, AttentionSpec attention, List<DecodeWorkspace.Angles> angles);

    /**
     * The rows of the tokens become the residual stream.
     *
     * @param table shape (V, D)
     * @param scale factor on the rows, a number of {@link #type}
     */
    void embed(DecodeBuffers buffers, Tensor table, float scale);

    /**
     * The residual stream, normalised, in {@link DecodeBuffers#normed}.
     *
     * @param after before that, {@link DecodeBuffers#normed} is normalised by it and added to the stream; null for nothing
     * @param norm null for the stream as it is
     */
    void norm(DecodeBuffers buffers, @Nullable NormSpec after, @Nullable NormSpec norm);

    /** Attention of each row's new position, whose keys and values join those of the row's sequence. */
    void attend(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, DecodeAttention attention);

    /** The same where rows are tokens of one sequence that follow each other, so that each sees those before it. */
    void attendInOrder(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, DecodeAttention attention);

    /** What keeps {@link #choose} from a router, as the end of a sentence; empty when nothing does. */
    default Optional<String> unsupportedReason(RouterSpec router) {
        return Tensors.typeOf(router.weight()) == type() && router.weight().is_contiguous()
                ? Optional.empty()
                : Optional.of("its router is of another type");
    }

    /** Whether the host knows what was chosen when {@link #choose} returns, so that it can call the products of those experts. */
    boolean choosesOnHost();

    /**
     * The experts of each row of {@link DecodeBuffers#normed}.
     *
     * @param experts gets them
     */
    void choose(DecodeBuffers buffers, RouterSpec router, ExpertBuffers experts);

    /**
     * {@code act(gate) · up} where one projection makes both.
     *
     * @param both shape (R, 2 · inner), gate first
     * @param y shape (R, inner)
     */
    void gate(Tensor both, Activation activation, Tensor y);

    /** Logit soft-capping, {@code cap · tanh(logits / cap)}. */
    void softCap(DecodeBuffers buffers, double cap);
}
