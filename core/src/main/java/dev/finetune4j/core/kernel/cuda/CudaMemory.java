package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.CaptureLock;
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
 * @param reserved from the driver now, tensors and what is kept for new ones and for captured graphs
 * @param peakReserved the most of that since the last {@link #resetPeak}
 */
public record CudaMemory(long allocated, long peak, long reserved, long peakReserved) {
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
                    stats.reserved_bytes().current(),
                    stats.reserved_bytes().peak());
        }
    }

    /** Lets the peak start anew from what is allocated now. */
    public static void resetPeak(ComputeDevice device) {
        TorchRuntime.require(device);
        try (TensorScope scope = new TensorScope()) {
            torch_cuda.getAllocator().resetPeakStats((byte) device.index());
        }
    }

    /** Gives back to the driver what libtorch keeps for new tensors; waits for the graph captures of other threads. */
    public static void emptyCache() {
        try (CaptureLock quiet = CaptureLock.acquire();
                TensorScope scope = new TensorScope()) {
            torch_cuda.getAllocator().emptyCache();
        }
    }

    /**
     * Waits until the current GPU has done everything that was asked of it. CUDA refuses this while another thread captures a
     * graph, and fails that capture: for programs that have the GPU to themselves, such as benchmarks.
     */
    public static void synchronize() {
        torch_cuda.device_synchronize();
    }
}
