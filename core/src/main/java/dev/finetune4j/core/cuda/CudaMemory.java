package dev.finetune4j.core.cuda;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.pytorch.cuda.CUDAAllocator;
import org.bytedeco.pytorch.cuda.DeviceStats;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * What libtorch's allocator holds of a GPU's memory, in bytes.
 *
 * @param allocated in tensors now
 * @param peak the most in tensors since the last {@link #resetPeak}
 * @param reserved from the driver now, tensors and what is kept for new ones
 */
public record CudaMemory(long allocated, long peak, long reserved) {
    /**
     * The figures of a GPU.
     *
     * @throws dev.finetune4j.core.DeviceException when it is absent
     */
    public static CudaMemory of(ComputeDevice device) {
        TorchRuntime.require(device);
        try (TensorScope scope = new TensorScope()) {
            CUDAAllocator allocator = torch_cuda.getAllocator();
            DeviceStats stats = allocator.getDeviceStats((byte) device.index());
            return new CudaMemory(
                    stats.allocated_bytes().current(),
                    stats.allocated_bytes().peak(),
                    stats.reserved_bytes().current());
        }
    }

    /** Lets the peak start anew from what is allocated now. */
    public static void resetPeak(ComputeDevice device) {
        TorchRuntime.require(device);
        try (TensorScope scope = new TensorScope()) {
            torch_cuda.getAllocator().resetPeakStats((byte) device.index());
        }
    }

    /** Gives back to the driver what libtorch keeps for new tensors. */
    public static void emptyCache() {
        try (TensorScope scope = new TensorScope()) {
            torch_cuda.getAllocator().emptyCache();
        }
    }

    /**
     * Frees what cuBLAS holds for each thread and stream that it was used on; it comes back where it is needed. Recordings of
     * its work hold addresses of it: none may be launched afterwards.
     */
    public static void releaseWorkspaces() {
        torch_cuda.clearCublasWorkspaces();
    }

    /** Waits until the GPU has done everything that was asked of it. */
    public static void synchronize() {
        torch_cuda.device_synchronize();
    }
}
