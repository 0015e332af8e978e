package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaReadback;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** A CUDA GPU with kernels of our own, in float32 and bfloat16. */
final class CudaDeviceKernels implements DeviceKernels {
    private final ComputeDevice device;
    private final OptimizerKernels optimizer;

    CudaDeviceKernels(ComputeDevice device) {
        this.device = device;
        this.optimizer = new CudaOptimizer(device);
    }

    @Override
    public Optional<Elementwise> elements(ScalarType type) {
        ScalarType number = type.intern();
        return number == ScalarType.BFloat16 || number == ScalarType.Float
                ? Optional.of(CudaElementwise.of(device, number))
                : Optional.empty();
    }

    @Override
    public OptimizerKernels optimizer() {
        return optimizer;
    }

    @Override
    public Readback readback(Tensor values) {
        return Readback.later(CudaReadback.of(values));
    }
}
