package dev.finetune4j.core.tensor;

import java.util.stream.IntStream;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.global.torch.DeviceType;

/**
 * A processor that can hold tensors and compute: the CPU or one CUDA GPU. Immutable.
 *
 * @param kind the sort of processor
 * @param index which one of its kind, from 0; always 0 for the CPU
 */
public record ComputeDevice(Kind kind, int index) {
    /** The sorts of processor that the library can use. */
    public enum Kind {
        CPU,
        CUDA
    }

    private static final ComputeDevice CPU = new ComputeDevice(Kind.CPU, 0);

    public ComputeDevice {
        if (index < 0 || (kind == Kind.CPU && index != 0)) {
            throw new IllegalArgumentException("there is no device " + kind + " number " + index);
        }
    }

    /** The CPU. */
    public static ComputeDevice cpu() {
        return CPU;
    }

    /** The GPU with the given number, from 0. That it exists is checked when it is first used. */
    public static ComputeDevice cuda(int index) {
        return new ComputeDevice(Kind.CUDA, index);
    }

    /**
     * The first CUDA GPU that can be used, otherwise the CPU. GPUs in front of it that are too old for the kernels (compute
     * capability below 8.0) are named in warnings. Starts native code.
     */
    public static ComputeDevice best() {
        return IntStream.range(0, TorchRuntime.cudaDevices())
                .mapToObj(ComputeDevice::cuda)
                .filter(TorchRuntime::serves)
                .findFirst()
                .orElse(CPU);
    }

    /** A new native handle for this device; the caller's scope owns it. */
    public Device toNative() {
        return kind == Kind.CPU ? new Device(DeviceType.CPU) : new Device(DeviceType.CUDA, (byte) index);
    }

    @Override
    public String toString() {
        return kind == Kind.CPU ? "cpu" : "cuda:" + index;
    }
}
