package dev.finetune4j.core.tensor;

import java.util.concurrent.locks.ReentrantLock;

/**
 * Keeps what libtorch's allocator forbids during a
 * <a href="https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-graphs">CUDA graph capture</a> out of the captures of
 * other threads: giving cached memory back to the driver, and a second capture. Launches, allocations and waits for a stream
 * or an event of other threads go on beside a capture. One lock for the process, because the allocator counts the captures of
 * all GPUs together; the owner may take it again.
 */
public final class CaptureLock implements AutoCloseable {
    private static final ReentrantLock LOCK = new ReentrantLock();
    private static final CaptureLock HELD = new CaptureLock();

    private CaptureLock() {}

    /** Waits for the captures and the releases of other threads; to be closed by the same thread. */
    public static CaptureLock acquire() {
        LOCK.lock();
        return HELD;
    }

    @Override
    public void close() {
        LOCK.unlock();
    }
}
