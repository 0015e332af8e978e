package dev.finetune4j.core.cuda;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.cuda.CUDAStreamGuard;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * A queue of work of a GPU that is the current one of this thread until it is closed. It begins when the GPU has done all
 * that was asked of it before, and is empty when {@link #close} returns. Confined to the thread that opened it, in a try
 * statement.
 */
public final class CudaStream implements AutoCloseable {
    private final ComputeDevice device;
    private final CUDAStream stream;
    private final CUDAStreamGuard guard;

    private CudaStream(ComputeDevice device, CUDAStream stream, CUDAStreamGuard guard) {
        this.device = device;
        this.stream = stream;
        this.guard = guard;
    }

    /**
     * Makes a stream of its own the current one.
     *
     * @throws dev.finetune4j.core.DeviceException when the GPU is absent
     */
    public static CudaStream open(ComputeDevice device) {
        TorchRuntime.require(device);
        CudaMemory.synchronize();
        try (TensorScope scope = new TensorScope()) {
            CUDAStream stream = scope.release(torch_cuda.getStreamFromPool(false, (byte) device.index()));
            return new CudaStream(device, stream, scope.release(new CUDAStreamGuard(stream.asStream())));
        }
    }

    /** The GPU. */
    public ComputeDevice device() {
        return device;
    }

    /** Waits until everything that was put into the queue is done. */
    public void synchronize() {
        stream.synchronize();
    }

    /** The driver's handle; it belongs to the caller's scope. */
    CUstream_st handle() {
        return stream.stream();
    }

    /** Waits for the queue and makes the stream that was current before the current one again. */
    @Override
    public void close() {
        try (stream;
                guard) {
            stream.synchronize();
        }
    }
}
