package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What a device computes with, chosen once for each device: kernels of our own on a CUDA GPU and on a CPU, libtorch's operations
 * for whatever these do not have. A method without an override in an implementation is libtorch's, which always serves, so that
 * nobody above has to ask which processor a tensor is on. Thread-safe; lives as long as the process.
 */
public interface DeviceKernels {
    /** The kernels of a device. That a GPU exists is checked when a kernel is first used. */
    static DeviceKernels of(ComputeDevice device) {
        return Chosen.OF_DEVICE.computeIfAbsent(device, Chosen::choose);
    }

    /** The kernels of the device that a tensor is on. */
    static DeviceKernels of(Tensor tensor) {
        return of(Tensors.deviceOf(tensor));
    }

    /** The one choice. */
    final class Chosen {
        private static final Map<ComputeDevice, DeviceKernels> OF_DEVICE = new ConcurrentHashMap<>();

        private Chosen() {}

        private static DeviceKernels choose(ComputeDevice device) {
            if (device.kind() == ComputeDevice.Kind.CUDA) {
                return new CudaDeviceKernels(device);
            }
            return CpuKernels.get().<DeviceKernels>map(CpuDeviceKernels::new).orElseGet(TorchDeviceKernels::new);
        }
    }

    /**
     * The element-wise passes between matrix products by kernels of our own; empty where libtorch's operations are all there is.
     *
     * @param type of the tensors
     */
    default Optional<Elementwise> elements(ScalarType type) {
        return Optional.empty();
    }

    /** The steps of optimizers. */
    default OptimizerKernels optimizer() {
        return TorchOptimizer.INSTANCE;
    }

    /**
     * Asks for numbers as they are when the device has done what it was asked before; on a GPU without waiting for it.
     *
     * @param values of any type, on this device
     */
    default Readback readback(Tensor values) {
        return Readback.known(values);
    }
}
