package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Trainable tensors moved onto one buffer, and their gradients onto another, so that an optimizer step is a handful of
 * operations whatever their number.
 *
 * <p>The parameters of a group lie side by side, the groups in the order in which they first occur: each is one slice of
 * the buffers. Within a group LoRA's factors A come first, so that those of linears with one input lie behind one another and are
 * one matrix to {@code LowRankMatmul}.
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

    /**
     * The place of one parameter in the buffers.
     *
     * @param offset its first element
     */
    record Slot(String name, Parameter parameter, long offset) {
        Tensor master() {
            return parameter.master();
        }

        long[] shape() {
            return master().shape();
        }

        /** The parameter's part of a buffer, as a view of its shape. */
        Tensor of(Tensor buffer) {
            return buffer.narrow(0, offset, master().numel()).view(shape());
        }
    }

    /** End of the names that come first in their group. */
    private static final String FIRST = ".lora_A.weight";

    private final List<Slot> slots = new ArrayList<>();
    private final List<Slice> slices = new ArrayList<>();
    private final List<Tensor> published = new ArrayList<>();
    private final Tensor values;
    private final Tensor gradients;
    private final @Nullable Tensor computeCopies;

    /**
     * @param trainable by name, their masters float32 and on one device
     * @throws IllegalArgumentException when a tensor is of another type
     */
    FlatParameters(Map<String, Parameter> trainable, ParameterGroups groups) {
        this(trainable, groups, ScalarType.Float);
    }

    /** @param computeType in which the parameters take part in products; the optimizer keeps compute copies in other than float32 */
    FlatParameters(Map<String, Parameter> trainable, ParameterGroups groups, ScalarType computeType) {
        arrange(trainable, groups);
        long size = slices.stream().mapToLong(Slice::length).sum();
        ComputeDevice device = slots.isEmpty()
                ? ComputeDevice.cpu()
                : Tensors.deviceOf(slots.get(0).master());
        try (TensorScope scope = new TensorScope()) {
            values = Tensors.empty(device, ScalarType.Float, size);
            gradients = Tensors.zeros(device, ScalarType.Float, size);
            computeCopies = computeType == ScalarType.Float ? null : Tensors.empty(device, computeType, size);
            slots.forEach(this::move);
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

    private void move(Slot slot) {
        try (TensorScope scope = new TensorScope()) {
            Tensor parameter = slot.master();
            Tensor slice = slot.of(values);
            slice.copy_(parameter.detach());
            parameter.set_data(slice);
            parameter.set_requires_grad(true);
            parameter.mutable_grad().put(slot.of(gradients));
        }
    }

    private void publishCopies(Tensor all) {
        for (Slot slot : slots) {
            try (TensorScope scope = new TensorScope()) {
                Tensor copy = slot.of(all);
                slot.parameter().setComputeCopy(scope.release(copy));
                published.add(copy);
            }
        }
    }

    private void arrange(Map<String, Parameter> trainable, ParameterGroups groups) {
        Map<ParameterGroup, List<String>> byGroup = new LinkedHashMap<>();
        trainable.forEach((name, parameter) -> {
            Tensor tensor = parameter.master();
            if (Tensors.typeOf(tensor) != ScalarType.Float) {
                throw new IllegalArgumentException(
                        "tensor " + name + " is " + Tensors.typeOf(tensor) + ", but only float32 can be trained");
            }
            byGroup.computeIfAbsent(groups.groupOf(name, tensor), group -> new ArrayList<>())
                    .add(name);
        });
        long offset = 0;
        for (Map.Entry<ParameterGroup, List<String>> entry : byGroup.entrySet()) {
            long start = offset;
            entry.getValue().sort(Comparator.comparing(name -> !name.endsWith(FIRST)));
            for (String name : entry.getValue()) {
                Slot slot = new Slot(name, Objects.requireNonNull(trainable.get(name)), offset);
                slots.add(slot);
                offset += slot.master().numel();
            }
            slices.add(new Slice(entry.getKey(), start, offset - start));
        }
    }

    /** The groups and where they lie. */
    List<Slice> slices() {
        return List.copyOf(slices);
    }

    /** The parameters and where they lie. */
    List<Slot> slots() {
        return List.copyOf(slots);
    }

    /** Those of one group. */
    List<Slot> slots(Slice slice) {
        long end = slice.offset() + slice.length();
        return slots.stream()
                .filter(slot -> slot.offset() >= slice.offset() && slot.offset() < end)
                .toList();
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

    /** Those of one group; null where products are in float32. */
    @Nullable
    Tensor computeCopies(Slice slice) {
        return computeCopies == null ? null : slice.of(computeCopies);
    }

    /** Brings the compute copies up to date after the values were written by others than a kernel that writes both. */
    void refreshComputeCopies() {
        slices.forEach(this::refreshComputeCopies);
    }

    /** The same for those of one group. */
    void refreshComputeCopies(Slice slice) {
        if (computeCopies != null) {
            // A view that is not closed keeps all of the buffer.
            try (TensorScope scope = new TensorScope()) {
                slice.of(computeCopies).copy_(slice.of(values));
            }
        }
    }

    /** All gradients in one dimension, in the same order. */
    Tensor gradients() {
        return gradients;
    }

    /** The parameters have no gradients and no compute copies any more. */
    private void release() {
        try (TensorScope scope = new TensorScope()) {
            for (Slot slot : slots) {
                slot.master().mutable_grad().put(new Tensor());
                slot.master().set_requires_grad(false);
            }
        }
        slots.forEach(slot -> slot.parameter().setComputeCopy(null));
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
