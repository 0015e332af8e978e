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
 * parameters, and the optimizer's state. With the frozen weights, the data and the settings, the rest of a training follows
 * from it. Confined to the training's thread.
 */
final class TrainingState implements AutoCloseable {
    private final FlatParameters parameters;
    private final GradientStep optimizer;
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
     * A copy of the state in host memory.
     *
     * @param step optimizer steps that were done or skipped
     * @param updates those that were done
     * @param position where the data goes on after that step, wherever the loader has run ahead to
     * @param random what dropout draws next
     * @param values the master weights by the names of the parameters, float32
     * @param optimizer {@link GradientStep#state}
     */
    record Snapshot(
            int step,
            int updates,
            BatchLoader.Position position,
            RandomState random,
            Map<String, Tensor> values,
            Map<String, Tensor> optimizer)
            implements AutoCloseable {
        @Override
        public void close() {
            values.values().forEach(Tensor::close);
            optimizer.values().forEach(Tensor::close);
        }
    }

    private TrainingState(FlatParameters parameters, GradientStep optimizer, BatchLoader.Position position, long seed) {
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
     * @param settings optimizer, weight decay and seed
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
                    new GradientStep(parameters, settings.weightDecay(), settings.optimizer()),
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

    /** The optimizer of these parameters, with its state. */
    GradientStep optimizer() {
        return optimizer;
    }

    /** How many optimizer steps were done or skipped. */
    int step() {
        return step;
    }

    /** How many optimizer steps were done, without those that were skipped. */
    int updates() {
        return updates;
    }

    /** Where the data goes on after the last step. */
    BatchLoader.Position position() {
        return position;
    }

    /** Bytes of the parameters and of what the optimizer keeps. */
    long bytes() {
        try (TensorScope scope = new TensorScope()) {
            return bytes(values()) + bytes(optimizer.state());
        }
    }

    private static long bytes(Map<String, Tensor> tensors) {
        return tensors.values().stream().mapToLong(Tensor::nbytes).sum();
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

    /** The master weights by name; the views belong to the caller's scope. */
    Map<String, Tensor> values() {
        Map<String, Tensor> values = new LinkedHashMap<>();
        parameters.slots().forEach(slot -> values.put(slot.name(), slot.of(parameters.values())));
        return values;
    }

    /** Copies the state to host memory, where the caller closes it; waits for the device. */
    Snapshot snapshot() {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Map<String, Tensor> values = hostCopies(values());
            Map<String, Tensor> moments = hostCopies(optimizer.state());
            values.values().forEach(scope::release);
            moments.values().forEach(scope::release);
            return new Snapshot(step, updates, position, random, values, moments);
        }
    }

    private static Map<String, Tensor> hostCopies(Map<String, Tensor> tensors) {
        Map<String, Tensor> copies = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> copies.put(
                name,
                Tensors.empty(ComputeDevice.cpu(), Tensors.typeOf(tensor), tensor.shape())
                        .copy_(tensor)));
        return copies;
    }

    private static void requireAlike(String what, Map<String, Tensor> found, Map<String, Tensor> here) {
        if (!found.keySet().equals(here.keySet())) {
            throw new IllegalArgumentException("the snapshot has the " + what + " " + found.keySet()
                    + ", but those of this training are " + here.keySet());
        }
        found.forEach((name, tensor) -> {
            Tensor own = Objects.requireNonNull(here.get(name));
            if (!describe(tensor).equals(describe(own))) {
                throw new IllegalArgumentException("of the " + what + " " + name + " has the shape and type "
                        + describe(tensor) + " in the snapshot, but " + describe(own) + " in this training");
            }
        });
    }

    private static String describe(Tensor tensor) {
        return Arrays.toString(tensor.shape()) + " " + Tensors.typeOf(tensor);
    }

    /**
     * Goes to a state that a snapshot was taken of.
     *
     * @throws IllegalArgumentException if it has other parameters than this training, or another optimizer
     */
    void restore(Snapshot snapshot) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Map<String, Tensor> values = values();
            Map<String, Tensor> moments = optimizer.state();
            requireAlike("parameters", snapshot.values(), values);
            requireAlike("tensors of the optimizer", snapshot.optimizer(), moments);
            values.forEach((name, tensor) -> tensor.copy_(snapshot.values().get(name)));
            moments.forEach((name, tensor) -> tensor.copy_(snapshot.optimizer().get(name)));
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
