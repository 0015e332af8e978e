package dev.finetune4j.core.tensor;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import java.nio.file.Path;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.SizeTPair;
import org.bytedeco.pytorch.cuda.CUDAAllocator;
import org.bytedeco.pytorch.cuda.DeviceStats;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch_cuda;

/** Measures the memory of devices. Stateless. */
public final class FreeMemory {
    private FreeMemory() {}

    /**
     * The memory of a device now.
     *
     * @throws dev.finetune4j.core.DeviceException when it is absent
     */
    public static DeviceMemory of(ComputeDevice device) {
        return of(device, false);
    }

    /**
     * The memory of a device after what libtorch keeps for new tensors went back to the driver; waits for the graph captures of
     * other threads.
     *
     * @throws dev.finetune4j.core.DeviceException when it is absent
     */
    static DeviceMemory reclaimed(ComputeDevice device) {
        return of(device, true);
    }

    private static DeviceMemory of(ComputeDevice device, boolean reclaim) {
        TorchRuntime.require(device);
        if (device.kind() == ComputeDevice.Kind.CPU) {
            return ofHost();
        }
        if (reclaim) {
            try (CaptureLock quiet = CaptureLock.acquire()) {
                torch.emptyCache();
            }
        }
        return ofCuda(device);
    }

    private static DeviceMemory ofCuda(ComputeDevice device) {
        try (TensorScope scope = new TensorScope()) {
            CUDAAllocator allocator = torch_cuda.getAllocator();
            SizeTPair driver = allocator.getMemoryInfo((byte) device.index());
            DeviceStats stats = allocator.getDeviceStats((byte) device.index());
            long unused =
                    stats.reserved_bytes().current() - stats.allocated_bytes().current();
            return new DeviceMemory(driver.first() + unused, driver.second());
        }
    }

    private static DeviceMemory ofHost() {
        return new HostMemory(Path.of("/")).read().orElseGet(FreeMemory::ofOtherHost);
    }

    private static DeviceMemory ofOtherHost() {
        long machine = Pointer.totalPhysicalBytes();
        return new DeviceMemory(Math.min(Pointer.availablePhysicalBytes(), machine), machine);
    }
}
