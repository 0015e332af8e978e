package dev.finetune4j.core.kernel;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** By libtorch's operations, on the logits in float32. */
final class TorchLoss implements LossKernels {
    static final TorchLoss INSTANCE = new TorchLoss();

    /** libtorch's number of no reduction. */
    private static final int NONE = 0;

    private TorchLoss() {}

    @Override
    public Tensor crossEntropyAndBackward(
            Tensor logits, Tensor labels, @Nullable Tensor weights, Tensor scale, double cap) {
        Tensor alike = crossEntropy(logits, labels, cap);
        Tensor losses = weights == null ? alike : alike.mul(weights);
        losses.sum().mul(scale).backward();
        return losses.detach();
    }

    @Override
    public Tensor crossEntropy(Tensor logits, Tensor labels, double cap) {
        Tensor given = Tensors.as(logits, ScalarType.Float);
        Tensor wide = cap == 0 ? given : given.div(new Scalar(cap)).tanh().mul(new Scalar(cap));
        return torch.cross_entropy_loss(wide, labels, new TensorOptional(), NONE, Labels.IGNORE, 0.0);
    }
}
