package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.quant.QuantSettings;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The arithmetic on quantized weights of one device. Every implementation gives the same bytes and, but for the order
 * of additions in a matrix product, the same numbers.
 *
 * <p>Implementations are thread-safe and record no gradients. Results belong to the caller's innermost scope.
 */
interface QuantKernels {
    /**
     * Quantizes a weight.
     *
     * @param dense any shape but empty; float32, bfloat16 or float16, on this device
     * @return a weight that the caller owns
     * @throws IllegalArgumentException if the tensor has another type, no elements, or a number that is not finite
     */
    QuantizedTensor quantize(Tensor dense, QuantSettings settings);

    /**
     * Writes the weight's numbers: float32 value of the code times float32 scale, rounded once to the type of the
     * output.
     *
     * @param out contiguous, of the weight's shape, of any floating-point type
     */
    void dequantize(QuantizedTensor weight, Tensor out);

    /**
     * The same for all weights of a stack, one behind the other.
     *
     * @param out contiguous
     */
    default void dequantize(QuantizedStack stack, Tensor out) {
        Tensor each = out.view(stack.count(), stack.elements());
        for (QuantizedTensor weight : stack.weights()) {
            dequantize(weight, each.select(0, weight.index()).view(weight.shape()));
        }
    }

    /**
     * How few rows are multiplied by some of the weights of a stack; null where there is no such way.
     *
     * @param type of the rows
     */
    default @Nullable ExpertGemv expertGemv(QuantizedStack stack, ScalarType type) {
        return null;
    }

    /**
     * {@code y = x Wᵀ + b}.
     *
     * @param x shape (…, in)
     * @param weight shape (out, in)
     * @param bias shape (out), or null
     * @return shape (…, out), in the type of {@code x}
     */
    Tensor forward(Tensor x, QuantizedTensor weight, @Nullable Tensor bias);

    /**
     * {@code dx = dy W}.
     *
     * @param gradient shape (…, out), the gradient of the output
     * @return shape (…, in), in the type of the gradient
     */
    Tensor backward(Tensor gradient, QuantizedTensor weight);

    /**
     * Adds the products with weights whose rows lie behind one another, {@code y += x Wᵀ}.
     *
     * @param y shape (n, sum of the outputs); with several weights contiguous
     * @param x shape (n, in)
     */
    default void addForward(Tensor y, Tensor x, List<QuantizedTensor> weights) {
        long start = 0;
        for (QuantizedTensor weight : weights) {
            long rows = weight.shape()[0];
            y.narrow(1, start, rows).add_(forward(x, weight, null));
            start += rows;
        }
    }

    /**
     * Adds the gradients of the one input of such weights, {@code dx += dy W}.
     *
     * @param dx shape (n, in)
     * @param gradient shape (n, sum of the outputs)
     */
    default void addBackward(Tensor dx, Tensor gradient, List<QuantizedTensor> weights) {
        long start = 0;
        for (QuantizedTensor weight : weights) {
            long rows = weight.shape()[0];
            dx.add_(backward(gradient.narrow(1, start, rows), weight));
            start += rows;
        }
    }

    /**
     * The weight as a decoder multiplies single vectors by it; null where the codes themselves are not multiplied.
     *
     * @param bias shape (out), or null
     * @param type of the input and the output
     */
    default @Nullable GemvWeight<?> gemvWeight(QuantizedTensor weight, @Nullable Tensor bias, ScalarType type) {
        return null;
    }

    /** The quickest kernels that there are for a device. */
    static QuantKernels forDevice(ComputeDevice device) {
        if (device.kind() == ComputeDevice.Kind.CUDA) {
            return CudaQuantKernels.of(device);
        }
        return CpuKernels.get().<QuantKernels>map(CpuQuantKernels::new).orElseGet(() -> new TorchQuantKernels(device));
    }
}
