package dev.finetune4j.core;

import dev.finetune4j.core.tensor.TorchRuntime;

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
     * The first CUDA GPU when it can be used, otherwise the CPU. A GPU that is too old for the kernels (compute capability
     * below 8.0) is named in a warning. Starts native code.
     */
    public static ComputeDevice best() {
        return TorchRuntime.cudaDevices() > 0 && TorchRuntime.supports(cuda(0)) ? cuda(0) : CPU;
    }

    @Override
    public String toString() {
        return equals(CPU) ? "cpu" : "cuda:" + index;
    }
}
