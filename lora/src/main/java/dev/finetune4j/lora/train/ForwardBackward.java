package dev.finetune4j.lora.train;

import dev.finetune4j.core.kernel.cuda.CudaGraph;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.kernel.cuda.CudaStream;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.Batch;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The forward and backward passes of a training, one batch after the other; the losses add up on the device.
 *
 * <p>On a CUDA GPU the passes of a shape of batch that comes again soon are captured as a CUDA graph and from then on
 * launched by one call, because a small model is done faster than a host can enqueue its thousand operations. Passes with dropout
 * are not captured, because a graph would have the masks of one pass for ever. Graphs hold memory that plain passes cannot use:
 * when that runs out, {@link #makeRoom} drops them all.
 *
 * <p>Confined to one thread.
 */
final class ForwardBackward implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ForwardBackward.class);
    private static final int MAX_GRAPHS = 16;
    private static final int POSITIONS_MULTIPLE = 64;

    private final CausalLM model;
    private final ComputeDevice device;
    private final Tensor loss;
    private final @Nullable Gpu gpu;
    private final CapturePolicy<Shape> choice = new CapturePolicy<>();
    /** The one that was not used for longest first. */
    private final Map<Shape, CapturedStep> captured = new LinkedHashMap<>(16, 0.75f, true);

    private boolean capturing;

    /** What two batches share that one graph is right for. */
    private record Shape(int rows, int length, int targets) {}

    /** What a pass reads. */
    private record Inputs(Tensor tokens, Targets targets, Tensor scale) implements AutoCloseable {
        void copyFrom(Inputs other) {
            tokens.copy_(other.tokens);
            targets.copyFrom(other.targets);
            scale.copy_(other.scale);
        }

        @Override
        public void close() {
            tokens.close();
            targets.close();
            scale.close();
        }
    }

    /** Where graphs are captured and what they share. */
    private record Gpu(CudaStream stream, CudaGraph.Memory memory) implements AutoCloseable {
        static Gpu open(ComputeDevice device) {
            return new Gpu(CudaStream.open(device), new CudaGraph.Memory());
        }

        @Override
        public void close() {
            stream.close();
            memory.close();
        }
    }

    private record CapturedStep(Inputs inputs, CudaGraph graph) implements AutoCloseable {
        @Override
        public void close() {
            graph.close();
            inputs.close();
        }
    }

    /** Passes through a model; on a CUDA GPU in a stream of their own until they are closed. */
    ForwardBackward(CausalLM model) {
        this.model = model;
        device = model.placement().device();
        gpu = device.kind() == ComputeDevice.Kind.CUDA ? Gpu.open(device) : null;
        capturing = gpu != null && !model.isRandom();
        boolean done = false;
        try (TensorScope scope = new TensorScope()) {
            loss = scope.release(Tensors.zeros(device, ScalarType.Double, 1));
            done = true;
        } finally {
            if (!done && gpu != null) {
                gpu.close();
            }
        }
    }

    /** The sum of the losses since it was cleared, float64, shape (1), on the device. */
    Tensor loss() {
        return loss;
    }

    /** Begins a new sum. */
    void clear() {
        loss.zero_();
    }

    /**
     * Adds a batch's gradients to those of the parameters and its loss to the sum.
     *
     * @param scale factor on the gradients and the loss
     * @param draw what dropout hides in this pass
     */
    void run(Batch batch, double scale, Dropout.Draw draw) {
        try (Lifetime.Use use = model.use();
                Dropout.Pass drawing = Dropout.of(draw);
                Inputs inputs = inputs(batch, scale)) {
            Shape shape =
                    new Shape(batch.rows(), batch.length(), inputs.targets().count());
            CapturedStep known = captured.get(shape);
            if (known != null) {
                choice.replayed();
            } else if (gpu != null && capturing && choice.worthwhile(shape)) {
                known = capture(gpu, shape, inputs);
            }
            if (known == null) {
                pass(inputs);
            } else {
                known.inputs().copyFrom(inputs);
                known.graph().launch();
            }
        }
    }

    /**
     * Gives the memory of all captured graphs back and makes no more; to be called after a pass that ran out of memory. What that
     * pass has added to the gradients stays there.
     *
     * @return whether there is more room now, so that the pass may be tried again
     */
    boolean makeRoom() {
        if (gpu == null || !capturing) {
            return false;
        }
        capturing = false;
        // They may still be at work.
        gpu.stream().synchronize();
        boolean room = !captured.isEmpty();
        captured.values().forEach(CapturedStep::close);
        captured.clear();
        CudaMemory.emptyCache();
        return room;
    }

    /** Whether passes are only enqueued, and done later. */
    boolean isAsync() {
        return gpu != null;
    }

    /** The type in which the parameters take part in products; float32 where the optimizer keeps no compute copies. */
    ScalarType computeType() {
        return gpu == null ? ScalarType.Float : model.placement().precision().scalarType();
    }

    /** How many shapes of batches are captured. */
    int captured() {
        return captured.size();
    }

    private Inputs inputs(Batch batch, double scale) {
        try (TensorScope scope = new TensorScope()) {
            Tensor tokens = model.tokens(batch.inputIds(), batch.rows(), batch.length()); // (B, T)
            Tensor factor = Tensors.ofFloats(device, new float[] {(float) scale}, 1);
            Targets targets = Targets.of(device, batch.labels(), gpu == null ? 1 : POSITIONS_MULTIPLE);
            return new Inputs(scope.release(tokens), targets, scope.release(factor));
        }
    }

    private void pass(Inputs inputs) {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor hidden = model.hidden(ModelInput.padded(inputs.tokens())); // (B, T, D)
            Tensor sum = NextTokenLoss.backward(hidden, model::logits, inputs.targets(), inputs.scale());
            loss.add_(sum.mul(inputs.scale()));
        }
    }

    private @Nullable CapturedStep capture(Gpu place, Shape shape, Inputs example) {
        if (captured.size() >= MAX_GRAPHS) {
            Iterator<CapturedStep> oldest = captured.values().iterator();
            oldest.next().close();
            oldest.remove();
        }
        // What plain passes have left behind is needed for the graph's own memory.
        CudaMemory.emptyCache();
        Inputs own = copy(example);
        try {
            CapturedStep made =
                    new CapturedStep(own, CudaGraph.capture(place.stream(), place.memory(), () -> pass(own)));
            captured.put(shape, made);
            return made;
        } catch (RuntimeException e) {
            own.close();
            if (MemoryErrors.ranOut(e)) {
                // Nothing of the pass was done yet, and a plain one needs no memory of its own.
                makeRoom();
                return null;
            }
            capturing = false;
            LOG.warn(
                    "the passes of this training cannot be captured as CUDA graphs and are launched one by one: {}",
                    e.getMessage());
            return null;
        }
    }

    private static Inputs copy(Inputs inputs) {
        try (TensorScope scope = new TensorScope()) {
            Tensor tokens = inputs.tokens().clone();
            Tensor scale = inputs.scale().clone();
            // Last of those that can fail, because no scope owns it.
            Targets targets = inputs.targets().copy();
            return new Inputs(scope.release(tokens), targets, scope.release(scale));
        }
    }

    /** Waits for what is enqueued and frees everything. */
    @Override
    public void close() {
        captured.values().forEach(CapturedStep::close);
        captured.clear();
        loss.close();
        if (gpu != null) {
            gpu.close();
        }
    }
}
