package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Cross entropy of the next token, summed over the positions that have a label. Where there are kernels for it, the gradients
 * of a chunk's logits take the logits' place.
 */
public final class NextTokenLoss {
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
     * @return the loss summed over the labelled positions, each times its weight, not scaled, float64, shape (1)
     */
    public static Tensor lossAndBackward(
            Tensor hidden, UnaryOperator<Tensor> head, double softCap, Targets targets, Tensor scale) {
        return new ChunkedHead(head)
                .backward(
                        hidden,
                        targets,
                        (logits, chunk) -> DeviceKernels.of(logits)
                                .loss()
                                .crossEntropyAndBackward(logits, chunk.ids(), chunk.weights(), scale, softCap)
                                .sum(new ScalarTypeOptional(ScalarType.Double)));
    }

    /**
     * What a model makes of some targets.
     *
     * @param loss summed over them, each times its weight
     * @param correct how many of them have the largest of the logits of their position
     */
    public record Score(double loss, long correct) {}

    /** The loss summed over the labelled positions, without gradients. */
    public static double sum(Tensor hidden, UnaryOperator<Tensor> head, long[] labels) {
        try (Targets targets = Targets.of(Tensors.deviceOf(hidden), labels, 1)) {
            return score(hidden, head, 0, targets).loss();
        }
    }

    /**
     * Loss and hits without gradients, of which no more logits are in memory than a training step holds.
     *
     * @param hidden shape (B, T, D), the decoder's output
     * @param head the projection to the vocabulary, (n, D) to (n, V)
     * @param softCap bound that a hyperbolic tangent puts on what the head gives; 0 for none
     * @param targets not filled up by any
     */
    public static Score score(Tensor hidden, UnaryOperator<Tensor> head, double softCap, Targets targets) {
        ComputeDevice device = Tensors.deviceOf(hidden);
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor sums = Tensors.zeros(device, ScalarType.Double, 2);
            new ChunkedHead(head).forward(hidden, targets, (logits, chunk) -> {
                Tensor chosen = logits.argmax(new LongOptional(-1), false); // (n); before the loss overwrites them
                Tensor losses = DeviceKernels.of(logits).loss().crossEntropy(logits, chunk.ids(), softCap);
                Tensor weights = chunk.weights();
                Tensor counted = weights == null ? losses : losses.mul(weights);
                sums.select(0, 0).add_(counted.to(ScalarType.Double).sum());
                sums.select(0, 1).add_(chosen.eq(chunk.ids()).sum());
            });
            double[] values = new double[2];
            Tensors.convert(sums, ComputeDevice.cpu(), ScalarType.Double)
                    .data_ptr_double()
                    .get(values);
            return new Score(values[0], Math.round(values[1]));
        }
    }
}
