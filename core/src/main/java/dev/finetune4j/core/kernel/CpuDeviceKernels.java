package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.ElementKernels;
import java.util.Optional;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The CPU with kernels of our own, in float32 and bfloat16. */
final class CpuDeviceKernels implements DeviceKernels {
    private final Elementwise elements;
    private final OptimizerKernels optimizer;

    CpuDeviceKernels(CpuKernels kernels) {
        this.elements = new CpuElementwise(kernels.elements());
        this.optimizer = new CpuOptimizer(kernels.elements());
    }

    @Override
    public Optional<Elementwise> elements(ScalarType type) {
        return ElementKernels.supports(type) ? Optional.of(elements) : Optional.empty();
    }

    @Override
    public OptimizerKernels optimizer() {
        return optimizer;
    }
}
