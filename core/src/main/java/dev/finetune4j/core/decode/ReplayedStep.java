package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaGraph;
import dev.finetune4j.core.tensor.TensorScope;
import org.jspecify.annotations.Nullable;

/**
 * The launches of a step, captured as a CUDA graph when they come a second time and replayed from then on. Confined to one
 * thread at a time.
 */
final class ReplayedStep implements AutoCloseable {
    private final ComputeDevice device;
    private final Runnable launches;
    private boolean loaded;
    private @Nullable CudaGraph graph;

    /** @param launches kernels on memory that stays where it is until {@link #forget} */
    ReplayedStep(ComputeDevice device, Runnable launches) {
        this.device = device;
        this.launches = launches;
    }

    /** Asks the GPU for the step. */
    void run() {
        if (!loaded) {
            // Kernels are loaded at their first launch, which cannot be captured.
            launch();
            loaded = true;
            return;
        }
        if (graph == null) {
            graph = CudaGraph.captureOverlapping(device, this::launch);
        }
        graph.launch();
    }

    private void launch() {
        try (TensorScope scope = new TensorScope()) {
            launches.run();
        }
    }

    /** Waits for the last step and forgets what was captured, because memory moves. */
    void forget() {
        if (graph != null) {
            graph.close();
            graph = null;
        }
    }

    @Override
    public void close() {
        forget();
    }
}
