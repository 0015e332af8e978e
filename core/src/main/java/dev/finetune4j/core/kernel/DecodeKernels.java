package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What a decoder computes for one new token of each sequence besides its GEMVs, in one type of number. All calls work on the
 * {@link DecodeBuffers} of the decoder and allocate nothing. What an implementation does not have it says of itself, so that a
 * kind of attention or norm that becomes supported changes one place. Thread-safe.
 */
public sealed interface DecodeKernels permits CpuDecodeKernels, CudaDecodeKernels {
    /** Channels of a head and numbers of a row come in multiples of this. */
    int VECTOR_WIDTH = 8;

    /** The most query heads that may share a key head. */
    int MAX_HEADS_PER_KEY = 8;

    /** The most channels of a head. */
    int MAX_HEAD_SIZE = 256;

    /** The type of all numbers but positions and sums. */
    ScalarType type();

    /** What keeps {@link #attend} from a layer's attention, as the end of a sentence; empty when nothing does. */
    default Optional<String> unsupportedReason(AttentionSpec attention) {
        if (attention.softCap() != 0) {
            return Optional.of("its attention has soft-capped scores");
        }
        if (attention.window() != 0) {
            return Optional.of("its attention sees a window only");
        }
        if (attention.headDim() % VECTOR_WIDTH != 0 || attention.headDim() > MAX_HEAD_SIZE) {
            return Optional.of("its heads have " + attention.headDim() + " channels");
        }
        return attention.heads() / attention.kvHeads() > MAX_HEADS_PER_KEY
                ? Optional.of("too many query heads share a key head")
                : Optional.empty();
    }

    /** What keeps {@link #norm} from a norm, as the end of a sentence; empty when nothing does. */
    default Optional<String> unsupportedReason(NormSpec norm) {
        if (norm.unitOffset() || norm.weight().numel() % VECTOR_WIDTH != 0) {
            return Optional.of("its norms are of another form");
        }
        return Tensors.typeOf(norm.weight()) == type()
                ? Optional.empty()
                : Optional.of("a norm's weight is of another type than the activations");
    }

    /**
     * The memory of steps up to a number of positions. Its tensors belong to the caller's scope until they are released from it.
     *
     * @param rows sequences
     * @param cos cosines by position, shape (capacity, head size), which the workspace owns from now on
     * @param sin as cos
     */
    DecodeWorkspace workspace(int rows, AttentionSpec attention, Tensor cos, Tensor sin);

    /**
     * The rows of the tokens become the residual stream.
     *
     * @param table shape (V, D)
     */
    void embed(DecodeBuffers buffers, Tensor table);

    /** The residual stream, normalised. */
    void norm(DecodeBuffers buffers, NormSpec norm);

    /** Attention of each row's new position, whose keys and values join those of the row's sequence. */
    void attend(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, AttentionSpec attention);
}
