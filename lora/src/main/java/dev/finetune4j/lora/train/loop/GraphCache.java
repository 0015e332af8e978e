package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.cuda.CudaGraph;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.kernel.cuda.CudaStream;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.lora.objective.DeviceBatch;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The CUDA graphs captured of the passes of a training, by shape of batch; the least recently used one makes way for a new one.
 * A small model is done faster than a host can enqueue its thousand operations; a graph is launched by one call.
 *
 * <p>Graphs hold memory that plain passes cannot use: when that runs out, {@link #clear} drops them all. Confined to one thread.
 */
final class GraphCache implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(GraphCache.class);
    private static final int MAX_GRAPHS = 32;
    private static final long NANOS_OF_A_MILLISECOND = 1_000_000;
    private static final long HOST_BOUND_NANOS = 2 * NANOS_OF_A_MILLISECOND;
    private static final int COLD_PASSES = 3;

    private final CudaStream stream;
    private final CudaGraph.Memory memory = new CudaGraph.Memory();
    private final CapturePolicy<DeviceBatch.Shape> policy = new CapturePolicy<>();
    /** In the order of their last use. */
    private final Map<DeviceBatch.Shape, CapturedPass> captured = new LinkedHashMap<>(16, 0.75f, true);

    private boolean capturing = true;
    /** Whether libtorch keeps memory of plain passes. */
    private boolean leftBehind;

    private int plainPasses;
    /** Whether the GPU had nothing left to do soon after the last plain pass was enqueued. */
    private boolean hostBound;

    private record CapturedPass(DeviceBatch batch, CudaGraph graph) implements AutoCloseable {
        @Override
        public void close() {
            graph.close();
            batch.close();
        }
    }

    /** @param stream on which passes run; stays the caller's, who closes it after this */
    GraphCache(CudaStream stream) {
        this.stream = stream;
    }

    /**
     * Runs a pass: by the graph of its shape if there is one or a capture is worthwhile, else plainly.
     *
     * @param shape what batches share that one graph is right for
     * @param pass enqueues the work; it reads nothing but the batch's tensors and what stays where it is
     */
    void run(DeviceBatch.Shape shape, DeviceBatch batch, Consumer<DeviceBatch> pass) {
        @Nullable CapturedPass known = captured.get(shape);
        if (known != null) {
            policy.replayed();
        } else if (capturing && policy.worthwhile(shape, hostBound)) {
            known = capture(shape, batch, pass);
        }
        if (known == null) {
            plain(batch, pass);
        } else {
            known.batch().copyFrom(batch);
            known.graph().launch();
            batch.takeFindings(known.batch());
        }
    }

    private void plain(DeviceBatch batch, Consumer<DeviceBatch> pass) {
        pass.accept(batch);
        leftBehind = true;
        // In the first passes libraries load what they need.
        hostBound = ++plainPasses > COLD_PASSES && stream.becomesIdle(HOST_BOUND_NANOS);
    }

    private @Nullable CapturedPass capture(DeviceBatch.Shape shape, DeviceBatch example, Consumer<DeviceBatch> pass) {
        if (captured.size() >= MAX_GRAPHS) {
            Iterator<CapturedPass> oldest = captured.values().iterator();
            oldest.next().close();
            oldest.remove();
        }
        long start = System.nanoTime();
        if (leftBehind) {
            // What plain passes have left behind is needed for the graphs' own memory. It waits for the GPU.
            CudaMemory.emptyCache();
            leftBehind = false;
        }
        DeviceBatch own = example.copy();
        try {
            CapturedPass made = new CapturedPass(own, CudaGraph.capture(stream, memory, () -> pass.accept(own)));
            captured.put(shape, made);
            LOG.debug("captured {} in {} ms", shape, (System.nanoTime() - start) / NANOS_OF_A_MILLISECOND);
            return made;
        } catch (RuntimeException e) {
            own.close();
            if (MemoryErrors.ranOut(e)) {
                // Nothing of the pass was done yet, and a plain one needs no memory of its own.
                clear();
                return null;
            }
            capturing = false;
            LOG.warn(
                    "the passes of this training cannot be captured as CUDA graphs and are launched one by one: {}",
                    e.getMessage());
            return null;
        }
    }

    /**
     * Gives the memory of all graphs back and captures no more.
     *
     * @return whether there is more room now
     */
    boolean clear() {
        if (!capturing) {
            return false;
        }
        capturing = false;
        // They may still be at work.
        stream.synchronize();
        boolean room = !captured.isEmpty();
        closeAll();
        CudaMemory.emptyCache();
        return room;
    }

    /** How many graphs there are. */
    int size() {
        return captured.size();
    }

    private void closeAll() {
        captured.values().forEach(CapturedPass::close);
        captured.clear();
    }

    /** Waits for the graphs and frees them. */
    @Override
    public void close() {
        closeAll();
        memory.close();
    }
}
