package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * What stands between the projections to queries, keys and values and attention, in one pass over memory: norms of each head of
 * queries and keys where a model has them, and the angles of their positions. Thread-safe.
 */
public interface HeadKernels {
    /**
     * The form of the heads.
     *
     * @param heads of queries
     * @param kvHeads of keys, and of values
     * @param size channels of a head
     * @param epsilon of the norms
     * @param unitOffset whether a norm's factor is one plus its weight
     */
    record Form(int heads, int kvHeads, int size, float epsilon, boolean unitOffset) {}

    /**
     * The angles of positions.
     *
     * @param cos shape (T, turned channels)
     * @param sin as cos
     * @param interleaved whether channels turn with their neighbours, not the first half with the second
     */
    record Angles(Tensor cos, Tensor sin, boolean interleaved) {}

    /**
     * Norms of the heads.
     *
     * @param queries weight, shape (size)
     * @param keys weight, shape (size)
     * @param inverse float32, shape (rows, heads + kv heads): gets the factor of each head, and has it in the backward pass
     */
    record Norms(Tensor queries, Tensor keys, Tensor inverse) {}

    /** Whether there are kernels for heads of so many channels of which so many are turned. */
    boolean supports(int size, long turned);

    /**
     * Queries and keys as attention takes them.
     *
     * @param x queries, keys and values behind one another, shape (B, T, (heads + 2 · kv heads) · size), contiguous
     * @param y as x; x itself where there are no norms
     */
    void forward(Form form, Tensor x, Tensor y, @Nullable Norms norms, Angles angles);

    /**
     * The gradient of x, all three parts behind one another.
     *
     * @param x of the forward pass; needed where there are norms
     * @param dx as x
     */
    void backward(
            Form form,
            SequenceAttention.Gradients gradients,
            Tensor x,
            Tensor dx,
            @Nullable Norms norms,
            Angles angles);
}
