package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.util.Locale;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;

/**
 * The device and the number format of a benchmark, with the processor's threads given to the products of that format.
 *
 * @param placement both
 */
record Workbench(Placement placement) {
    /**
     * Starts libtorch.
     *
     * @param device {@code cpu} or {@code cuda}
     * @param type {@code bf16} or {@code fp32}
     */
    static Workbench of(String device, String type) {
        ComputeDevice where = switch (device) {
            case "cpu" -> ComputeDevice.cpu();
            case "cuda" -> ComputeDevice.cuda(0);
            default -> throw new IllegalArgumentException("the parameter device is cpu or cuda, not " + device);
        };
        Precision precision = switch (type) {
            case "bf16" -> Precision.BF16;
            case "fp32" -> Precision.FP32;
            default ->
                throw new IllegalArgumentException(
                        "the parameter type is bf16 or fp32, not " + type.toLowerCase(Locale.ROOT));
        };
        TorchRuntime.require(where);
        TorchRuntime.shareThreads(precision);
        return new Workbench(new Placement(where, precision));
    }

    /** Normally distributed numbers around 0 in the format of the benchmark; the open scope owns them. */
    Tensor normal(double deviation, long... shape) {
        return Tensors.empty(placement.device(), Tensors.typeOf(placement.precision()), shape)
                .normal_(0, deviation, new GeneratorOptional());
    }

    /** Waits until a GPU has done what it was asked; a CPU always has. */
    void finish() {
        DeviceKernels.of(placement.device()).synchronize();
    }

    /** The backward pass from a result whose gradient is given. */
    static void backward(Tensor result, Tensor gradient) {
        result.backward(gradient, new BoolOptional(), false, new TensorArrayRefOptional());
    }
}
