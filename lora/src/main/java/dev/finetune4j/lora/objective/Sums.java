package dev.finetune4j.lora.objective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** What {@link Objective#forwardBackward} returns, put together: the scaled loss, then sum and number for each metric. */
final class Sums {
    private final TensorVector parts = new TensorVector();

    /**
     * Begins with the loss.
     *
     * @param losses of the terms, (N)
     * @param scale one float32
     */
    Sums(Tensor losses, Tensor scale) {
        parts.push_back(sum(losses).mul(scale));
    }

    /** Adds a metric that is the mean of these values. */
    Sums mean(Tensor values) {
        parts.push_back(sum(values));
        parts.push_back(Tensors.zeros(Tensors.deviceOf(values), ScalarType.Double, 1)
                .fill_(new Scalar((double) values.numel())));
        return this;
    }

    /** Adds a metric that is the mean of the values where a mask of the same shape is 1, not 0. */
    Sums mean(Tensor values, Tensor mask) {
        parts.push_back(sum(values.mul(mask)));
        parts.push_back(sum(mask));
        return this;
    }

    /** All in one dimension, float64. */
    Tensor toTensor() {
        try (TensorScope scope = new TensorScope()) {
            return scope.keep(torch.cat(parts, 0));
        }
    }

    /** The numbers on the host. */
    static double[] toArray(Tensor sums) {
        double[] values = new double[Math.toIntExact(sums.numel())];
        try (TensorScope scope = new TensorScope()) {
            Tensors.convert(sums, ComputeDevice.cpu(), ScalarType.Double)
                    .data_ptr_double()
                    .get(values);
        }
        return values;
    }

    private static Tensor sum(Tensor values) {
        return values.detach().to(ScalarType.Double).sum().view(1);
    }
}
