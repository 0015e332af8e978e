package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.cuda.CUDAEvent;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * A point in what a GPU's stream is asked, for which the host can wait, and for nothing that is asked later. Confined to one
 * thread.
 */
public final class CudaEvent implements AutoCloseable {
    private final ComputeDevice device;
    private final CUDAEvent event;

    /** An event that nobody has to wait for yet. */
    public CudaEvent(ComputeDevice device) {
        this.device = device;
        try (TensorScope scope = new TensorScope()) {
            this.event = scope.release(new CUDAEvent());
        }
    }

    /** Moves to the end of what the current stream has been asked. */
    public void record() {
        try (TensorScope scope = new TensorScope()) {
            event.record(torch_cuda.getCurrentCUDAStream((byte) device.index()));
        }
    }

    /** Waits until the GPU has come so far. */
    public void await() {
        event.synchronize();
    }

    /** Frees it. Closing twice is fine. */
    @Override
    public void close() {
        event.close();
    }
}
