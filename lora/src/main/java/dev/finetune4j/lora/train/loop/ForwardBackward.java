package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.cuda.CudaStream;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.lora.objective.DeviceBatch;
import dev.finetune4j.lora.objective.Objective;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Forward and backward passes of the micro-batches of a training; losses and metrics add up on the device.
 *
 * <p>On a CUDA GPU they are enqueued on a stream of their own until this is closed, and captured as CUDA graphs where the
 * objective allows it. Dropout reads the number of the pass on the device, so that each launch of a graph has masks of its own.
 * Confined to one thread.
 */
final class ForwardBackward implements AutoCloseable {
    /** Targets are filled up to no fewer than these on a GPU. */
    private static final int LEAST_TARGETS = 64;

    private final CausalLM model;
    private final Objective objective;
    private final Tensor sums;
    /** The number of the pass in progress, int32, shape (1): work that is enqueued reads it in its turn. */
    private final @Nullable Tensor counter;

    private final @Nullable CudaStream stream;
    private final @Nullable GraphCache graphs;

    ForwardBackward(CausalLM model, Objective objective) {
        this.model = model;
        this.objective = objective;
        ComputeDevice device = model.placement().device();
        stream = DeviceKernels.of(device).captureStream().orElse(null);
        boolean captured = objective.isCapturable() && !model.hasDynamicRope() && !model.hasExperts();
        graphs = stream == null || !captured ? null : new GraphCache(stream);
        boolean done = false;
        try (TensorScope scope = new TensorScope()) {
            sums = scope.release(Tensors.zeros(
                    device, ScalarType.Double, 1 + 2L * objective.metrics().size()));
            counter = stream == null ? null : scope.release(Tensors.zeros(device, ScalarType.Int, 1));
            done = true;
        } finally {
            if (!done) {
                closeStream();
            }
        }
    }

    /** What {@link Objective#forwardBackward} returned since it was cleared, added up: float64, on the device. */
    Tensor sums() {
        return sums;
    }

    /** Begins new sums. */
    void clear() {
        sums.zero_();
    }

    /**
     * Adds a micro-batch's gradients to those of the parameters and its loss to the sums.
     *
     * @param scale factor on the gradients and the loss
     * @param draw what dropout drops in this pass
     */
    void run(Batch batch, double scale, Dropout.Draw draw) {
        try (Lifetime.Use use = model.use();
                Dropout.Pass drawing = Dropout.of(counted(draw));
                DeviceBatch onDevice = objective.toDevice(model, batch, scale, targetsMultiple(batch))) {
            if (graphs == null || readsLengthsOnHost(onDevice) || onDevice.mixesFrequencies(model)) {
                pass(onDevice);
            } else {
                graphs.run(onDevice.shape(model), onDevice, this::pass);
            }
            objective.passed(onDevice);
        }
    }

    /** Whether packed sequences are computed one by one: a captured pass would cut all later rows as it did the first. */
    private boolean readsLengthsOnHost(DeviceBatch batch) {
        return batch.input() instanceof ModelInput.Packed && !model.supportsPacking();
    }

    private Dropout.Draw counted(Dropout.Draw draw) {
        if (counter == null || !model.hasDropout()) {
            return draw;
        }
        try (TensorScope scope = new TensorScope()) {
            counter.fill_(new Scalar(draw.pass()));
        }
        return new Dropout.Draw(draw.seed(), draw.pass(), counter);
    }

    /**
     * To what the targets of a batch are filled up: on a GPU to all of its positions, or half of them, a quarter and so on, so that
     * batches come in few shapes. Most rows have more answers than questions, and a target costs little.
     */
    private int targetsMultiple(Batch batch) {
        if (stream == null) {
            return 1;
        }
        int targets = batch.targetTokens();
        int filled = batch.rows() * batch.length();
        while (filled / 2 >= Math.max(targets, LEAST_TARGETS)) {
            filled /= 2;
        }
        return filled;
    }

    private void pass(DeviceBatch batch) {
        try (TensorScope scope = TensorScope.forStep()) {
            sums.add_(objective.forwardBackward(model, batch));
        }
    }

    /**
     * Gives the memory of captured graphs back; to be called after a pass that ran out of memory. What that pass has added to
     * the gradients stays there.
     *
     * @return whether there is more room now, so that the pass may be tried again
     */
    boolean freeGraphs() {
        return graphs != null && graphs.clear();
    }

    /** Whether passes are only enqueued, and done later. */
    boolean isAsync() {
        return stream != null;
    }

    /** The type in which the parameters take part in products; float32 where the optimizer keeps no compute copies. */
    ScalarType computeType() {
        return stream == null
                ? ScalarType.Float
                : Tensors.typeOf(model.placement().precision());
    }

    /** How many shapes of batches are captured. */
    int captured() {
        return graphs == null ? 0 : graphs.size();
    }

    /** Waits for what is enqueued and frees everything. */
    @Override
    public void close() {
        if (graphs != null) {
            graphs.close();
        }
        sums.close();
        if (counter != null) {
            counter.close();
        }
        closeStream();
    }

    private void closeStream() {
        if (stream != null) {
            stream.close();
        }
    }
}
