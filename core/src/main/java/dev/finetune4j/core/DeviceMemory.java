package dev.finetune4j.core;

import dev.finetune4j.core.message.ByteCount;
import dev.finetune4j.core.tensor.FreeMemory;

/**
 * The memory of a device, in bytes.
 *
 * @param free what can still be taken: on a GPU what the driver has and what libtorch's allocator holds without using it; on
 *     the CPU what the operating system can give without swapping, within the limits of containers (control groups)
 * @param total what the device has; within a container what the container may use
 */
public record DeviceMemory(long free, long total) {
    /**
     * The memory of a device now.
     *
     * @throws DeviceException when it is absent
     */
    public static DeviceMemory of(ComputeDevice device) {
        return FreeMemory.of(device);
    }

    @Override
    public String toString() {
        return ByteCount.text(free) + " free of " + ByteCount.text(total);
    }
}
