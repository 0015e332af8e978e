package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Cross entropy of the next token, summed over the positions that have a label. Where there are kernels for it, the gradients
 * of a chunk's logits take the logits' place.
 */
public final class NextTokenLoss {
    private static final int SUM = 2;

    private NextTokenLoss() {}

    /**
     * Adds the gradient of {@code scale} times the summed loss to everything that can be trained.
     *
     * @param hidden shape (B, T, D), the decoder's output, with its graph
     * @param head the projection to the vocabulary, (n, D) to (n, V)
     * @param labels the id that each position must predict, row-major (B, T); {@link Labels#IGNORE} where there is none
     * @param scale factor on the loss, usually one over the step's number of target tokens
     * @return the loss summed over the labelled positions, not scaled
     */
    public static double lossAndBackward(Tensor hidden, UnaryOperator<Tensor> head, long[] labels, double scale) {
        ComputeDevice device = Tensors.deviceOf(hidden);
        try (TensorScope scope = new TensorScope();
                Targets targets = Targets.of(device, labels, 1)) {
            Tensor factor = Tensors.ofFloats(device, new float[] {(float) scale}, 1);
            return lossAndBackward(hidden, head, 0, targets, factor).item_double();
        }
    }

    /**
     * The same without waiting for the device: everything that it needs is there already, and the loss stays there.
     *
     * @param softCap bound that a hyperbolic tangent puts on what the head gives; 0 for none
     * @param scale factor on the loss, one float32
     * @return the loss summed over the labelled positions, not scaled, float64, shape (1)
     */
    public static Tensor lossAndBackward(
            Tensor hidden, UnaryOperator<Tensor> head, double softCap, Targets targets, Tensor scale) {
        return new ChunkedHead(head)
                .backward(
                        hidden,
                        targets,
                        (logits, chunk) -> DeviceKernels.of(logits)
                                .loss()
                                .crossEntropyAndBackward(logits, chunk.ids(), scale, softCap)
                                .sum(new ScalarTypeOptional(ScalarType.Double)));
    }

    /** The loss summed over the labelled positions, without gradients. */
    public static double sum(Tensor hidden, UnaryOperator<Tensor> head, long[] labels) {
        double[] sum = new double[1];
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                Targets targets = Targets.of(Tensors.deviceOf(hidden), labels, 1)) {
            new ChunkedHead(head)
                    .forward(
                            hidden,
                            targets,
                            (logits, chunk) ->
                                    sum[0] += loss(logits, chunk.ids()).item_double());
        }
        return sum[0];
    }

    private static Tensor loss(Tensor logits, Tensor ids) {
        return torch.cross_entropy_loss(
                Tensors.as(logits, ScalarType.Float), ids, new TensorOptional(), SUM, Labels.IGNORE, 0.0);
    }
}
