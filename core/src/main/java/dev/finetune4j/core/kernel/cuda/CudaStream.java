package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.pytorch.cuda.CUDAEvent;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.cuda.CUDAStreamGuard;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * A queue of work of a GPU that is the current one of this thread until it is closed. Its work begins when what this thread's
 * current stream was asked before is done, and is done when {@link #close} returns. No other part of the process uses it
 * meanwhile: libtorch's own pool hands 32 streams out in turn, so that a capture would swallow what another thread launches.
 * Confined to the thread that opened it, in a try statement.
 */
public final class CudaStream implements AutoCloseable {
    /**
     * Streams that were made and are not in use, by GPU. They are used again, because libtorch and cuBLAS keep memory for each
     * stream that they have seen.
     */
    private static final Map<ComputeDevice, Deque<CUstream_st>> IDLE = new HashMap<>();

    private final ComputeDevice device;
    private final CUstream_st handle;
    private final CUDAStream stream;
    private final CUDAStreamGuard guard;

    private CudaStream(ComputeDevice device, CUstream_st handle, CUDAStream stream, CUDAStreamGuard guard) {
        this.device = device;
        this.handle = handle;
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
        byte index = (byte) device.index();
        try (TensorScope scope = new TensorScope()) {
            CUstream_st handle = take(device);
            CUDAStream stream = scope.release(torch_cuda.getStreamFromExternal(handle, index));
            CUDAEvent earlier = new CUDAEvent();
            earlier.record(torch_cuda.getCurrentCUDAStream(index));
            earlier.block(stream);
            return new CudaStream(device, handle, stream, scope.release(new CUDAStreamGuard(stream.asStream())));
        }
    }

    private static CUstream_st take(ComputeDevice device) {
        synchronized (IDLE) {
            CUstream_st idle =
                    IDLE.computeIfAbsent(device, key -> new ArrayDeque<>()).poll();
            if (idle != null) {
                return idle;
            }
        }
        try (TensorScope scope = new TensorScope();
                CUDAGuard current = new CUDAGuard((byte) device.index())) {
            CUstream_st made = new CUstream_st();
            CudaModule.check(
                    cudart.cudaStreamCreateWithFlags(made, cudart.cudaStreamNonBlocking), "making a stream of the GPU");
            return scope.release(made);
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

    /** Whether everything that was put into the queue is done, now or within some nanoseconds. */
    public boolean becomesIdle(long nanos) {
        long end = System.nanoTime() + nanos;
        do {
            int state = cudart.cudaStreamQuery(handle);
            if (state != cudart.cudaErrorNotReady) {
                CudaModule.check(state, "asking a stream of the GPU");
                return true;
            }
            Thread.onSpinWait();
        } while (System.nanoTime() < end);
        return false;
    }

    /** The driver's handle; it stays this stream's. */
    CUstream_st handle() {
        return handle;
    }

    /** Waits for the queue and makes the stream that was current before the current one again. */
    @Override
    public void close() {
        try (stream;
                guard) {
            stream.synchronize();
        }
        // Not where waiting has failed: then the GPU is of no use to anybody any more.
        synchronized (IDLE) {
            IDLE.computeIfAbsent(device, key -> new ArrayDeque<>()).add(handle);
        }
    }
}
