package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The matmul by a dense weight, by the quickest way that the device has. A weight of another type is converted to that of the
 * input at each call.
 *
 * @param weight shape (out, in)
 */
public record DenseMatmul(Tensor weight) implements FrozenMatmul {
    /** The weight in the type of x. */
    private Tensor converted(Tensor x) {
        return Tensors.as(weight, Tensors.typeOf(x));
    }

    @Override
    public long outFeatures() {
        return weight.size(0);
    }

    /**
     * {@code x Wᵀ + b}.
     *
     * @param x shape (…, in)
     * @param bias shape (out), of the type of x, or null
     * @return shape (…, out)
     */
    public Tensor forward(Tensor x, @Nullable Tensor bias) {
        return DeviceKernels.of(x).matmul().forward(x, converted(x), bias);
    }

    /**
     * The gradient of the input, {@code dy W}.
     *
     * @param dy shape (…, out)
     * @return shape (…, in)
     */
    public Tensor backward(Tensor dy) {
        return DeviceKernels.of(dy).matmul().backward(dy, converted(dy));
    }

    @Override
    public void addForward(Tensor y, Tensor x) {
        DeviceKernels.of(x).matmul().addForward(y, x, converted(x));
    }

    @Override
    public void addBackward(Tensor dx, Tensor dy) {
        DeviceKernels.of(dy).matmul().addBackward(dx, dy, converted(dy));
    }
}
