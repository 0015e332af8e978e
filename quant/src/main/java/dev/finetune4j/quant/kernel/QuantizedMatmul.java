package dev.finetune4j.quant.kernel;

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
    private static final long MAX_CONCATENATED_ELEMENTS = 1 << 25;

    @Override
    public long outFeatures() {
        return weights.stream().mapToLong(weight -> weight.shape()[0]).sum();
    }

    @Override
    public void addForward(Tensor y, Tensor x) {
        kernels().addForward(y, x, weights);
    }

    @Override
    public void addBackward(Tensor dx, Tensor dy) {
        kernels().addBackward(dx, dy, weights);
    }

    private QuantKernels kernels() {
        return weights.get(0).kernels();
    }

    /**
     * {@inheritDoc} Weights that are all in 4 bit go through one matmul where that pays: large ones fill the device by
     * themselves, and would need much memory for being dense at once.
     */
    @Override
    public FrozenMatmul concat(List<FrozenMatmul> matmuls) {
        List<QuantizedTensor> all = new ArrayList<>();
        for (FrozenMatmul matmul : matmuls) {
            if (!(matmul instanceof QuantizedMatmul quantized)) {
                return FrozenMatmul.super.concat(matmuls);
            }
            all.addAll(quantized.weights);
        }
        long elements = all.stream().mapToLong(QuantizedTensor::elements).sum();
        return elements > MAX_CONCATENATED_ELEMENTS ? FrozenMatmul.super.concat(matmuls) : new QuantizedMatmul(all);
    }
}
