package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.tensor.CaptureLock;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.concurrent.atomic.AtomicLong;
import org.bytedeco.cuda.cudart.CUgraphExec_st;
import org.bytedeco.cuda.cudart.CUgraph_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.cuda.DeviceAssertionsDataVectorCUDAKernelLaunchInfoVectorPair;
import org.bytedeco.pytorch.cuda.StreamFilter;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;

/**
 * Work of a GPU that was written down once and is done again by one call, without the host's part of it
 * (<a href="https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-graphs">CUDA graphs</a>).
 *
 * <p>The work reads and writes the same memory each time: what changes from time to time goes through tensors that were made
 * before the capture. What is allocated during the capture belongs to the graph's {@link Memory} and must not be read
 * after it. Confined to one thread.
 */
public final class CudaGraph implements AutoCloseable {
    /** Where the graphs of one owner have their intermediate results; graphs that share it must not run side by side. */
    public static final class Memory implements AutoCloseable {
        // libtorch counts its own numbers up from 1.
        private static final AtomicLong NEXT = new AtomicLong(1L << 40);

        private final LongPointer number;

        /** Memory that grows as graphs are captured and is given back when the last of them is closed. */
        public Memory() {
            try (TensorScope scope = new TensorScope()) {
                number = scope.release(new LongPointer(2));
                number.put(0, NEXT.getAndIncrement()).put(1, 0);
            }
        }

        /** The number as the binding takes it, which has no type of its own for it. */
        private DeviceAssertionsDataVectorCUDAKernelLaunchInfoVectorPair id() {
            return new DeviceAssertionsDataVectorCUDAKernelLaunchInfoVectorPair(number);
        }

        @Override
        public void close() {
            number.close();
        }
    }

    /** Says which allocations belong to the capture: those of its stream. libtorch asks from any thread. */
    private static final class OfStream extends StreamFilter {
        private final transient long own;

        OfStream(CUstream_st stream) {
            own = stream.address();
        }

        @Override
        public boolean call(Pointer stream) {
            return stream != null && stream.address() == own;
        }
    }

    private final ComputeDevice device;
    private final @Nullable Memory memory;
    private final CUgraphExec_st executable;
    /** The driver's handle of the stream that was last asked for the work; 0 for the default stream. */
    private long lastStream;

    private boolean launched;
    private boolean closed;

    private CudaGraph(ComputeDevice device, @Nullable Memory memory, CUgraphExec_st executable) {
        this.device = device;
        this.memory = memory;
        this.executable = executable;
    }

    /**
     * Writes down launches of kernels that work on memory which is there already; nothing of it is done yet.
     *
     * @param body launches kernels that have been loaded before. It may not allocate memory of the GPU, copy or wait
     * @throws DeviceException when something in the body cannot be captured
     */
    public static CudaGraph capture(ComputeDevice device, Runnable body) {
        try (CudaStream stream = CudaStream.open(device)) {
            return new CudaGraph(device, null, capture(stream, body));
        }
    }

    /**
     * As {@link #capture(ComputeDevice, Runnable)}, but a kernel may begin while the one in front of it still runs, to fetch
     * what does not depend on it. GPUs before compute capability 9.0 take the kernels one after another.
     *
     * @param body launches only kernels that wait for those in front of them ({@code griddepcontrol.wait}) before they read
     *     their results or write anything
     * @throws DeviceException when something in the body cannot be captured
     */
    public static CudaGraph captureOverlapping(ComputeDevice device, Runnable body) {
        return capture(device, () -> CudaKernel.overlapping(body));
    }

    /**
     * Writes down what the body asks of the GPU on this stream; nothing of it is done yet.
     *
     * @param stream the current one
     * @param memory of the graph; it must outlive it
     * @param body asks for work, also from the threads of the backward pass; it must not wait for results or copy from the
     *     host
     * @throws DeviceException when something in the body cannot be captured; the message says what the driver said
     */
    public static CudaGraph capture(CudaStream stream, Memory memory, Runnable body) {
        byte device = (byte) stream.device().index();
        try (CaptureLock alone = CaptureLock.acquire();
                TensorScope scope = new TensorScope();
                OfStream filter = new OfStream(stream.handle())) {
            torch_cuda.beginAllocateToPool(device, memory.id(), filter);
            boolean done = false;
            try {
                CUgraphExec_st executable = capture(stream, body);
                done = true;
                return new CudaGraph(stream.device(), memory, executable);
            } finally {
                torch_cuda.endAllocateToPool(device, memory.id());
                if (!done) {
                    torch_cuda.getAllocator().releasePool(device, memory.id());
                }
            }
        }
    }

    /**
     * As {@link #capture(CudaStream, Memory, Runnable)} and {@link #captureOverlapping(ComputeDevice, Runnable)}: kernels of the
     * library may begin early, all others wait for those in front of them.
     *
     * @throws DeviceException when something in the body cannot be captured
     */
    public static CudaGraph captureOverlapping(CudaStream stream, Memory memory, Runnable body) {
        return capture(stream, memory, () -> CudaKernel.overlapping(body));
    }

    private static CUgraphExec_st capture(CudaStream stream, Runnable body) {
        try (CaptureLock alone = CaptureLock.acquire();
                TensorScope scope = new TensorScope()) {
            CUstream_st handle = stream.handle();
            CUgraph_st graph = new CUgraph_st();
            try {
                CudaModule.check(
                        cudart.cudaStreamBeginCapture(handle, cudart.cudaStreamCaptureModeThreadLocal),
                        "beginning to capture a CUDA graph");
                boolean worked = false;
                try {
                    body.run();
                    worked = true;
                } finally {
                    int result = cudart.cudaStreamEndCapture(handle, graph);
                    if (worked) {
                        CudaModule.check(result, "capturing a CUDA graph");
                    } else {
                        // What the body has thrown says more; the driver must forget its own error.
                        cudart.cudaGetLastError();
                    }
                }
                CUgraphExec_st executable = new CUgraphExec_st();
                CudaModule.check(cudart.cudaGraphInstantiate(executable, graph, 0), "instantiating a CUDA graph");
                return scope.release(executable);
            } finally {
                if (!graph.isNull()) {
                    cudart.cudaGraphDestroy(graph);
                }
            }
        }
    }

    /**
     * Puts the work into the GPU's current stream and returns at once.
     *
     * @throws IllegalStateException after closing
     */
    public void launch() {
        if (closed) {
            throw new IllegalStateException("this CUDA graph is closed");
        }
        if (torch_cuda.current_device() == device.index()) {
            launchHere();
        } else {
            // The default stream is that of the current GPU.
            try (CUDAGuard current = new CUDAGuard((byte) device.index())) {
                launchHere();
            }
        }
    }

    private void launchHere() {
        // The default stream has no handle of its own.
        try (CUDAStream stream = torch_cuda.getCurrentCUDAStream((byte) device.index());
                @Nullable CUstream_st handle = stream.stream()) {
            CudaModule.check(cudart.cudaGraphLaunch(executable, handle), "launching a CUDA graph");
            lastStream = handle == null ? 0 : handle.address();
            launched = true;
        }
    }

    /** Waits for the stream of the last launch; those of this library are never destroyed. */
    private void awaitLaunches() {
        try (CUDAGuard current = new CUDAGuard((byte) device.index());
                TensorScope scope = new TensorScope()) {
            @Nullable CUstream_st handle = lastStream == 0 ? null : new CUstream_st(new Address(lastStream));
            CudaModule.check(cudart.cudaStreamSynchronize(handle), "waiting for a CUDA graph");
        }
    }

    /** A pointer to what lies at an address. */
    private static final class Address extends Pointer {
        Address(long address) {
            this.address = address;
        }
    }

    /** Waits for the work and frees the graph and its part of the memory. Closing twice is fine. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            if (launched) {
                awaitLaunches();
            }
            cudart.cudaGraphExecDestroy(executable);
            executable.close();
            if (memory != null) {
                try (TensorScope scope = new TensorScope()) {
                    torch_cuda.getAllocator().releasePool((byte) device.index(), memory.id());
                }
            }
        }
    }
}
