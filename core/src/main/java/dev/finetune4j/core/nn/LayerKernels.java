package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The element-wise operations between the matrix products of a decoder, recorded for the backward pass. There is one
 * implementation by kernels of our own and one by libtorch's operations; the first passes on what it does not support, so that
 * layers need not ask.
 */
interface LayerKernels {
    /** Those for the device and type of a tensor. */
    static LayerKernels of(Tensor x) {
        return DeviceKernels.of(x)
                .elements(Tensors.typeOf(x))
                .<LayerKernels>map(FusedKernels::new)
                .orElse(TorchLayerKernels.INSTANCE);
    }

    /** The norm of x, shape (…, D). */
    Tensor norm(Tensor x, RmsNorm norm);

    /** The norm of the stream x, with which a branch begins. */
    ResidualStream.Branch branch(Tensor x, RmsNorm norm);

    /**
     * The end of a branch and the norm of the sum, with which the next one begins.
     *
     * @param end what is added to x
     * @param skip that of the branch that ends; null for none
     */
    ResidualStream.Branch branchOfSum(Tensor x, Tensor end, ResidualStream.@Nullable SkipGradient skip, RmsNorm norm);

    /** {@code act(gate(x)) · up(x)}, (…, inner). */
    HiddenStates gated(Activation activation, ProjectionGroup gateAndUp, HiddenStates x);

    /** The same of gate and up behind one another, (…, 2 · inner), which nobody else reads. */
    HiddenStates gated(Activation activation, Tensor both);

    /**
     * Rotates heads by the angles of their positions.
     *
     * @param x shape (B, heads, T, head size)
     */
    Tensor rotate(Tensor x, RotaryEmbedding.Angles angles);

    /**
     * Queries, keys and values with the angles of their positions, each (B, heads, T, head size).
     *
     * @param joint the three behind one another, shape (B, T, …), which nobody else reads
     */
    Tensor[] rotatedHeads(Tensor joint, Attention.Shape shape, RotaryEmbedding.Angles angles);

    /**
     * Attention.
     *
     * @param joint queries, keys and values behind one another, without norms and angles, shape (B, T, …), which nobody else
     *     reads
     * @param norms of the heads; null where there are none
     * @return shape (B, T, heads · head size)
     */
    Tensor attend(
            Tensor joint,
            Attention.Shape shape,
            Attention.@Nullable HeadNorms norms,
            RotaryEmbedding.Angles angles,
            FusedAttention attention);
}
