package dev.finetune4j.lora.train;

import dev.finetune4j.core.nn.ComputeCopies;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Trainable tensors moved onto one buffer, and their gradients onto another, so that an optimizer step is a handful of
 * operations whatever their number.
 *
 * <p>The parameters of a group lie side by side, the groups in the order in which they first occur: each is one slice of
 * the buffers.
 *
 * <p>The tensors keep their identity and their shapes: each becomes a view of its slice. They stay views when this object
 * is closed, which frees the gradients and stops the recording.
 */
final class FlatParameters implements AutoCloseable {
    /**
     * The part of the buffers that belongs to one group.
     *
     * @param group what is different for it
     * @param offset its first element
     * @param length number of its elements
     */
    record Slice(ParameterGroup group, long offset, long length) {
        /** This part of a buffer, as a view. */
        Tensor of(Tensor buffer) {
            return buffer.narrow(0, offset, length);
        }
    }

    private final List<Tensor> parameters = new ArrayList<>();
    private final List<Slice> slices = new ArrayList<>();
    private final List<Tensor> published = new ArrayList<>();
    private final Tensor values;
    private final Tensor gradients;
    private final @Nullable Tensor computeCopies;

    /**
     * @param trainable the tensors by name, float32 and on one device
     * @throws IllegalArgumentException when a tensor is of another type
     */
    FlatParameters(Map<String, Tensor> trainable, ParameterGroups groups) {
        this(trainable, groups, ScalarType.Float);
    }

    /** @param used the type in which the parameters take part in products; where it is not float32 the optimizer keeps compute copies in it */
    FlatParameters(Map<String, Tensor> trainable, ParameterGroups groups, ScalarType used) {
        arrange(trainable, groups);
        long size = slices.stream().mapToLong(Slice::length).sum();
        ComputeDevice device = parameters.isEmpty() ? ComputeDevice.cpu() : Tensors.deviceOf(parameters.get(0));
        try (TensorScope scope = new TensorScope()) {
            values = Tensors.empty(device, ScalarType.Float, size);
            gradients = Tensors.zeros(device, ScalarType.Float, size);
            long offset = 0;
            computeCopies = used == ScalarType.Float ? null : Tensors.empty(device, used, size);
            for (Tensor parameter : parameters) {
                move(parameter, offset);
                offset += parameter.numel();
            }
            if (computeCopies != null) {
                computeCopies.copy_(values);
                publishCopies(computeCopies);
                scope.release(computeCopies);
            }
            // Last, so that a failure half-way leaves them to the scope.
            scope.release(values);
            scope.release(gradients);
        } catch (RuntimeException | Error e) {
            release();
            throw e;
        }
    }

    private void move(Tensor parameter, long offset) {
        try (TensorScope scope = new TensorScope()) {
            long count = parameter.numel();
            long[] shape = parameter.shape();
            Tensor slice = values.narrow(0, offset, count).view(shape);
            slice.copy_(parameter.detach());
            parameter.set_data(slice);
            parameter.set_requires_grad(true);
            parameter.mutable_grad().put(gradients.narrow(0, offset, count).view(shape));
        }
    }

    private void publishCopies(Tensor all) {
        long offset = 0;
        for (Tensor parameter : parameters) {
            try (TensorScope scope = new TensorScope()) {
                Tensor copy = all.narrow(0, offset, parameter.numel()).view(parameter.shape());
                ComputeCopies.put(parameter, scope.release(copy));
                published.add(copy);
            }
            offset += parameter.numel();
        }
    }

    private void arrange(Map<String, Tensor> trainable, ParameterGroups groups) {
        Map<ParameterGroup, List<Tensor>> byGroup = new LinkedHashMap<>();
        trainable.forEach((name, tensor) -> {
            if (Tensors.typeOf(tensor) != ScalarType.Float) {
                throw new IllegalArgumentException(
                        "tensor " + name + " is " + Tensors.typeOf(tensor) + ", but only float32 can be trained");
            }
            byGroup.computeIfAbsent(groups.groupOf(name, tensor), group -> new ArrayList<>())
                    .add(tensor);
        });
        long offset = 0;
        for (Map.Entry<ParameterGroup, List<Tensor>> entry : byGroup.entrySet()) {
            long length = entry.getValue().stream().mapToLong(Tensor::numel).sum();
            slices.add(new Slice(entry.getKey(), offset, length));
            parameters.addAll(entry.getValue());
            offset += length;
        }
    }

    /** The groups and where they lie. */
    List<Slice> slices() {
        return List.copyOf(slices);
    }

    /** All values in one dimension. */
    Tensor values() {
        return values;
    }

    /** The low-precision compute copies of all values, in the same order; null where products are in float32. */
    @Nullable
    Tensor computeCopies() {
        return computeCopies;
    }

    /** All gradients in one dimension, in the same order. */
    Tensor gradients() {
        return gradients;
    }

    /** The parameters have no gradients and no compute copies any more. */
    private void release() {
        try (TensorScope scope = new TensorScope()) {
            for (Tensor parameter : parameters) {
                parameter.mutable_grad().put(new Tensor());
                parameter.set_requires_grad(false);
            }
        }
        parameters.forEach(ComputeCopies::remove);
        published.forEach(Tensor::close);
        published.clear();
    }

    @Override
    public void close() {
        release();
        if (computeCopies != null) {
            computeCopies.close();
        }
        values.close();
        gradients.close();
    }
}
