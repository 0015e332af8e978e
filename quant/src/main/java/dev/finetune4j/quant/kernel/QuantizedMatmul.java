package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.nn.ConcatenatedMatmul;
import dev.finetune4j.core.nn.FrozenMatmul;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * The matmul by 4-bit weights with one input, whose rows are behind one another.
 *
 * @param weights shape (out, in) each, on one device
 */
record QuantizedMatmul(List<QuantizedTensor> weights) implements FrozenMatmul {
    /** More fill the device by themselves, and would need much memory for being dense at once. */
    private static final long MAX_CONCATENATED_ELEMENTS = 1 << 25;

    /** Backward the sum over all weights passes memory once when they are one matmul. */
    private static final long MAX_CONCATENATED_ELEMENTS_BACKWARD = 1 << 28;

    @Override
    public long outFeatures() {
        return weights.stream().mapToLong(weight -> weight.shape()[0]).sum();
    }

    @Override
    public void addForward(Tensor y, Tensor x) {
        if (isApart(MAX_CONCATENATED_ELEMENTS)) {
            apart().addForward(y, x);
        } else {
            kernels().addForward(y, x, weights);
        }
    }

    @Override
    public void addBackward(Tensor dx, Tensor dy) {
        boolean stacked = DeviceKernels.of(dx).matmul().prefersStacked();
        if (isApart(stacked ? MAX_CONCATENATED_ELEMENTS_BACKWARD : MAX_CONCATENATED_ELEMENTS)) {
            apart().addBackward(dx, dy);
        } else {
            kernels().addBackward(dx, dy, weights);
        }
    }

    private boolean isApart(long most) {
        return weights.size() > 1
                && weights.stream().mapToLong(QuantizedTensor::elements).sum() > most;
    }

    private FrozenMatmul apart() {
        return new ConcatenatedMatmul(weights.stream()
                .<FrozenMatmul>map(weight -> new QuantizedMatmul(List.of(weight)))
                .toList());
    }

    private QuantKernels kernels() {
        return weights.get(0).kernels();
    }

    /** {@inheritDoc} Weights that are all in 4 bit go through one matmul where that pays. */
    @Override
    public FrozenMatmul concat(List<FrozenMatmul> matmuls) {
        List<QuantizedTensor> all = new ArrayList<>();
        for (FrozenMatmul matmul : matmuls) {
            if (!(matmul instanceof QuantizedMatmul quantized)) {
                return FrozenMatmul.super.concat(matmuls);
            }
            all.addAll(quantized.weights);
        }
        return new QuantizedMatmul(all);
    }
}
