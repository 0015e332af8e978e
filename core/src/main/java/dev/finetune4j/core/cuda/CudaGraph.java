package dev.finetune4j.core.cuda;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.cuda.cudart.CUgraphExec_st;
import org.bytedeco.cuda.cudart.CUgraph_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.cuda.CUDAStreamGuard;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;

/**
 * A sequence of kernel launches that the GPU repeats at one call of the host
 * (<a href="https://docs.nvidia.com/cuda/cuda-programming-guide/">CUDA Programming Guide</a>, "CUDA Graphs"). The launches
 * keep the addresses and numbers that they were recorded with: what changes from run to run lies in memory.
 *
 * <p>Confined to one thread at a time.
 */
public final class CudaGraph implements AutoCloseable {
    private final ComputeDevice device;
    private final CUgraphExec_st executable;
    private boolean closed;

    private CudaGraph(ComputeDevice device, CUgraphExec_st executable) {
        this.device = device;
        this.executable = executable;
    }

    /**
     * Records what is launched on the GPU's current stream; nothing of it runs.
     *
     * @param work launches kernels of a {@link CudaModule} that have been loaded before. It may not allocate memory of the
     *     GPU, copy, or wait
     * @throws dev.finetune4j.core.DeviceException when something in it cannot be recorded
     */
    public static CudaGraph record(ComputeDevice device, Runnable work) {
        TorchRuntime.require(device);
        CUgraph_st graph = new CUgraph_st();
        try (CUDAGuard current = new CUDAGuard((byte) device.index())) {
            capture(device, work, graph);
            try {
                CUgraphExec_st executable = new CUgraphExec_st();
                CudaModule.check(cudart.cudaGraphInstantiate(executable, graph, 0), "making a graph of launches");
                return new CudaGraph(device, executable);
            } finally {
                cudart.cudaGraphDestroy(graph);
            }
        }
    }

    private static void capture(ComputeDevice device, Runnable work, CUgraph_st graph) {
        // The default stream cannot be recorded.
        try (CUDAStream stream = torch_cuda.getStreamFromPool(false, (byte) device.index());
                CUDAStreamGuard guard = new CUDAStreamGuard(stream.unwrap());
                CUstream_st handle = stream.stream()) {
            CudaModule.check(
                    cudart.cudaStreamBeginCapture(handle, cudart.cudaStreamCaptureModeThreadLocal),
                    "starting to record launches");
            boolean complete = false;
            try {
                work.run();
                complete = true;
            } finally {
                int ended = cudart.cudaStreamEndCapture(handle, graph);
                // When the work has failed, its own error says more.
                if (complete) {
                    CudaModule.check(ended, "recording launches");
                } else if (!graph.isNull()) {
                    cudart.cudaGraphDestroy(graph);
                }
            }
        }
    }

    /**
     * Runs everything once, on libtorch's current stream, and returns at once.
     *
     * @throws IllegalStateException after closing
     */
    public void launch() {
        if (closed) {
            throw new IllegalStateException("the graph of launches is closed");
        }
        try (CUDAGuard current = new CUDAGuard((byte) device.index());
                CUDAStream stream = torch_cuda.getCurrentCUDAStream((byte) device.index());
                @Nullable CUstream_st handle = stream.stream()) {
            CudaModule.check(cudart.cudaGraphLaunch(executable, handle), "running a graph of launches");
        }
    }

    /** Frees the graph once the GPU is done with it. Closing twice is fine. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            torch_cuda.device_synchronize();
            cudart.cudaGraphExecDestroy(executable);
        }
    }
}
