package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** By libtorch's operations, which it differentiates itself: on every device, in every type and shape. */
final class TorchLayerKernels implements LayerKernels {
    static final TorchLayerKernels INSTANCE = new TorchLayerKernels();

    private TorchLayerKernels() {}

    @Override
    public Tensor norm(Tensor x, RmsNorm norm) {
        if (norm.centered() && norm.weight().dim() == 1) {
            ScalarType type = Tensors.typeOf(x);
            Tensor weight = Tensors.as(norm.weight(), type);
            TensorOptional bias =
                    norm.bias() == null ? new TensorOptional() : new TensorOptional(Tensors.as(norm.bias(), type));
            return torch.layer_norm(
                    x, new long[] {weight.numel()}, new TensorOptional(weight), bias, norm.epsilon(), false);
        }
        return norm.spec().apply(x);
    }

    @Override
    public ResidualStream.Branch branch(Tensor x, RmsNorm norm) {
        return new ResidualStream.Branch(x, new HiddenStates(norm(x, norm), null), null);
    }

    @Override
    public ResidualStream.Branch branchOfSum(
            Tensor x, Tensor end, ResidualStream.@Nullable SkipGradient skip, RmsNorm norm) {
        return branch(ResidualStream.sum(x, end, skip), norm);
    }

    @Override
    public HiddenStates gated(Activation activation, ProjectionGroup gateAndUp, HiddenStates x) {
        Tensor[] inner = gateAndUp.forward(x);
        return new HiddenStates(activation.apply(inner[0]).mul(inner[1]), null);
    }

    @Override
    public HiddenStates gated(Activation activation, Tensor both) {
        long inner = both.size(-1) / 2;
        Tensor gate = both.narrow(-1, 0, inner);
        return new HiddenStates(activation.apply(gate).mul(both.narrow(-1, inner, inner)), null);
    }

    @Override
    public Tensor rotate(Tensor x, RotaryEmbedding.Angles angles) {
        long channels = angles.channels();
        if (channels == x.size(3)) {
            return rotateAll(x, angles);
        }
        Tensor rest = x.narrow(3, channels, x.size(3) - channels);
        return torch.cat(new TensorVector(rotateAll(x.narrow(3, 0, channels), angles), rest), 3);
    }

    private static Tensor rotateAll(Tensor x, RotaryEmbedding.Angles angles) {
        long half = x.size(3) / 2;
        if (angles.interleaved()) {
            Tensor pairs = x.reshape(x.size(0), x.size(1), x.size(2), half, 2);
            Tensor first = pairs.select(4, 0);
            Tensor second = pairs.select(4, 1);
            Tensor cos = angles.cos().narrow(-1, 0, half);
            Tensor sin = angles.sin().narrow(-1, 0, half);
            Tensor turned = first.mul(cos).sub_(second.mul(sin));
            Tensor crossed = second.mul(cos).add_(first.mul(sin));
            return torch.stack(new TensorVector(turned, crossed), -1).flatten(3, 4);
        }
        Tensor first = x.narrow(3, 0, half);
        Tensor second = x.narrow(3, half, half);
        Tensor crossed = torch.cat(new TensorVector(second.neg(), first), 3);
        return x.mul(angles.cos()).add_(crossed.mul(angles.sin()));
    }

    @Override
    public Tensor[] rotatedHeads(Tensor joint, Attention.Shape shape, RotaryEmbedding.Angles angles) {
        Tensor[] heads = shape.heads(shape.split(joint));
        heads[0] = RotaryEmbedding.rotate(heads[0], angles);
        heads[1] = RotaryEmbedding.rotate(heads[1], angles);
        return heads;
    }

    @Override
    public Tensor attend(
            Tensor joint,
            Attention.Shape shape,
            Attention.@Nullable HeadNorms norms,
            RotaryEmbedding.Angles angles,
            FusedAttention attention) {
        Tensor[] heads = norms == null ? shape.heads(shape.split(joint)) : norms.heads(shape, shape.split(joint));
        heads[0] = RotaryEmbedding.rotate(heads[0], angles);
        heads[1] = RotaryEmbedding.rotate(heads[1], angles);
        return attention.mix(Attention.Shape.concat(heads));
    }
}
