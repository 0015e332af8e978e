package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * All that changes from one optimizer step to the next: how many were done, where the data goes on, what dropout draws next, the
 * parameters, and the optimizer's moments. With the frozen weights, the data and the settings, the rest of a training follows
 * from it. Confined to the training's thread.
 */
final class TrainingState implements AutoCloseable {
    private final FlatParameters parameters;
    private final AdamW optimizer;
    private int step;
    private int updates;
    private BatchLoader.Position position;
    private RandomState random;

    /**
     * State of the generator of dropout's masks, which is counter-based: {@link Dropout}.
     *
     * @param seed its key
     * @param pass number of the next forward pass
     */
    record RandomState(long seed, int pass) {
        /** What the forward pass of one of the next micro-batches draws. */
        Dropout.Draw draw(int microBatch) {
            return new Dropout.Draw(seed, pass + microBatch);
        }

        /** The state after so many passes. */
        RandomState after(int passes) {
            return new RandomState(seed, pass + passes);
        }
    }

    /**
     * A parameter and its moments, in host memory, float32, each of the parameter's shape.
     *
     * @param value the master weights
     * @param expAvg running mean of the gradient
     * @param expAvgSq running mean of its square
     */
    record ParameterState(Tensor value, Tensor expAvg, Tensor expAvgSq) implements AutoCloseable {
        @Override
        public void close() {
            value.close();
            expAvg.close();
            expAvgSq.close();
        }
    }

    /**
     * A copy of the state in host memory.
     *
     * @param step optimizer steps that were done or skipped
     * @param updates those that were done
     * @param position where the data goes on after that step, wherever the loader has run ahead to
     * @param random what dropout draws next
     * @param parameters by name
     */
    record Snapshot(
            int step,
            int updates,
            BatchLoader.Position position,
            RandomState random,
            Map<String, ParameterState> parameters)
            implements AutoCloseable {
        @Override
        public void close() {
            parameters.values().forEach(ParameterState::close);
        }
    }

    private TrainingState(FlatParameters parameters, AdamW optimizer, BatchLoader.Position position, long seed) {
        this.parameters = parameters;
        this.optimizer = optimizer;
        this.position = position;
        this.random = new RandomState(seed, 0);
    }

    /**
     * The state before the first step; its gradients and moments are zero.
     *
     * @param trainable by name; they are moved into the buffers of the optimizer
     * @param computeType in which they take part in products
     * @param position where the data begins
     * @param settings weight decay and seed
     */
    static TrainingState initial(
            Map<String, Parameter> trainable,
            ParameterGroups groups,
            ScalarType computeType,
            BatchLoader.Position position,
            TrainingSettings settings) {
        FlatParameters parameters = new FlatParameters(trainable, groups, computeType);
        try {
            return new TrainingState(
                    parameters,
                    new AdamW(parameters, settings.weightDecay(), settings.adam()),
                    position,
                    settings.seed());
        } catch (RuntimeException | Error e) {
            parameters.close();
            throw e;
        }
    }

    /** The values and gradients of what is trained. */
    FlatParameters parameters() {
        return parameters;
    }

    /** The optimizer of these parameters, with its moments. */
    AdamW optimizer() {
        return optimizer;
    }

    /** How many optimizer steps were done or skipped. */
    int step() {
        return step;
    }

    /** What dropout draws in the next step. */
    RandomState random() {
        return random;
    }

    /** Takes down that a step is done. */
    void advance(int done, BatchLoader.Position next, RandomState drawn) {
        updates++;
        pass(done, next, drawn);
    }

    /** Takes down that a step is skipped: the optimizer, which has changed nothing, forgets it. */
    void skip(int done, BatchLoader.Position next, RandomState drawn) {
        try (NoGradGuard off = new NoGradGuard()) {
            parameters.gradients().zero_();
        }
        optimizer.goTo(updates);
        pass(done, next, drawn);
    }

    private void pass(int done, BatchLoader.Position next, RandomState drawn) {
        step = done;
        position = next;
        random = drawn;
    }

    /** Copies the state to host memory, where the caller closes it; waits for the device. */
    Snapshot snapshot() {
        Map<String, ParameterState> states = new LinkedHashMap<>();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            for (FlatParameters.Slot slot : parameters.slots()) {
                states.put(
                        slot.name(),
                        new ParameterState(
                                hostCopy(slot.of(parameters.values())),
                                hostCopy(slot.of(optimizer.expAvg())),
                                hostCopy(slot.of(optimizer.expAvgSq()))));
            }
            states.values().forEach(state -> {
                scope.release(state.value());
                scope.release(state.expAvg());
                scope.release(state.expAvgSq());
            });
        }
        return new Snapshot(step, updates, position, random, states);
    }

    private void requireSameParameters(Snapshot snapshot) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        parameters.slots().forEach(slot -> shapes.put(slot.name(), slot.shape()));
        if (!shapes.keySet().equals(snapshot.parameters().keySet())) {
            throw new IllegalArgumentException("the snapshot has the parameters "
                    + snapshot.parameters().keySet() + ", but those trained are " + shapes.keySet());
        }
        snapshot.parameters().forEach((name, state) -> {
            if (!Arrays.equals(shapes.get(name), state.value().shape())) {
                throw new IllegalArgumentException("parameter " + name + " has the shape "
                        + Arrays.toString(state.value().shape()) + " in the snapshot, but "
                        + Arrays.toString(shapes.get(name)) + " in this training");
            }
        });
    }

    private static Tensor hostCopy(Tensor tensor) {
        return Tensors.empty(ComputeDevice.cpu(), Tensors.typeOf(tensor), tensor.shape())
                .copy_(tensor);
    }

    /**
     * Goes to a state that a snapshot was taken of.
     *
     * @throws IllegalArgumentException if it has other parameters than this training
     */
    void restore(Snapshot snapshot) {
        requireSameParameters(snapshot);
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            for (FlatParameters.Slot slot : parameters.slots()) {
                ParameterState state =
                        Objects.requireNonNull(snapshot.parameters().get(slot.name()));
                slot.of(parameters.values()).copy_(state.value());
                slot.of(optimizer.expAvg()).copy_(state.expAvg());
                slot.of(optimizer.expAvgSq()).copy_(state.expAvgSq());
            }
            parameters.refreshComputeCopies();
        }
        optimizer.goTo(snapshot.updates());
        step = snapshot.step();
        updates = snapshot.updates();
        position = snapshot.position();
        random = snapshot.random();
    }

    @Override
    public void close() {
        optimizer.close();
        parameters.close();
    }
}
