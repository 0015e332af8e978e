package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamW8bitState;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWStep;
import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.kernel.OptimizerKernels.Moments;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.train.Optimizer.AdamW8bit;
import dev.finetune4j.quant.kernel.DynamicCodebook;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * AdamW whose moments are kept in blocks of 8-bit codes, as bitsandbytes keeps them: the first moment in its signed, the second in
 * its unsigned dynamic map. Blocks begin anew with each parameter, so that what is kept of it does not depend on how parameters
 * are arranged.
 */
final class AdamW8bitRule implements UpdateRule {
    private static final int BLOCK = AdamW8bit.BLOCK_SIZE;

    private final FlatParameters parameters;
    private final AdamW8bit settings;
    private final Moments moments;
    /** The blocks of each group. */
    private final Map<FlatParameters.Slice, Range> ofSlices = new LinkedHashMap<>();
    /** Of each parameter by its offset the first of its blocks in codes, or {@code -1} less its first wide number. */
    private final Map<Long, Long> places = new LinkedHashMap<>();

    private record Range(long first, long count) {}

    /** Counts what there is while blocks are laid out. */
    private static final class Layout {
        private final List<Long> blocks = new ArrayList<>();
        private long coded;
        private long wide;

        /** @return the place of the parameter, as in the blocks */
        long add(long offset, long numbers) {
            boolean isCoded = numbers >= AdamW8bit.MIN_SIZE;
            long place = isCoded ? coded : -1 - wide;
            for (long done = 0; done < numbers; done += BLOCK) {
                blocks.addAll(
                        List.of(offset + done, isCoded ? coded : -1 - (wide + done), Math.min(BLOCK, numbers - done)));
                coded += isCoded ? 1 : 0;
            }
            wide += isCoded ? 0 : numbers;
            return place;
        }

        long count() {
            return blocks.size() / 3;
        }
    }

    AdamW8bitRule(FlatParameters parameters, AdamW8bit settings) {
        this.parameters = parameters;
        this.settings = settings;
        Layout layout = new Layout();
        for (FlatParameters.Slice slice : parameters.slices()) {
            long first = layout.count();
            for (FlatParameters.Slot slot : parameters.slots(slice)) {
                places.put(
                        slot.offset(), layout.add(slot.offset(), slot.master().numel()));
            }
            ofSlices.put(slice, new Range(first, layout.count() - first));
        }
        moments = moments(layout, Tensors.deviceOf(parameters.values()));
    }

    private static Moments moments(Layout layout, ComputeDevice device) {
        long[] blocks = layout.blocks.stream().mapToLong(Long::longValue).toArray();
        DynamicCodebook signed = DynamicCodebook.signed();
        DynamicCodebook unsigned = DynamicCodebook.unsigned();
        // Kernels are given no empty tensors.
        long coded = Math.max(1, layout.coded);
        long wide = Math.max(1, layout.wide);
        try (TensorScope scope = new TensorScope()) {
            Moments made = new Moments(
                    Tensors.ofLongs(device, blocks, layout.count(), 3),
                    Tensors.zeros(device, ScalarType.Byte, 2, coded, BLOCK),
                    Tensors.zeros(device, ScalarType.Float, 2, coded),
                    Tensors.zeros(device, ScalarType.Float, 2, wide),
                    both(device, signed.table(), unsigned.table()),
                    both(device, signed.limits(), unsigned.limits()));
            all(made).forEach(scope::release);
            return made;
        }
    }

    private static Tensor both(ComputeDevice device, float[] first, float[] second) {
        return torch.stack(new TensorVector(
                Tensors.ofFloats(device, first, first.length), Tensors.ofFloats(device, second, second.length)));
    }

    private static List<Tensor> all(Moments moments) {
        return List.of(
                moments.blocks(), moments.codes(), moments.absmax(), moments.wide(), moments.maps(), moments.limits());
    }

    @Override
    public void update(FlatParameters.Slice slice, Step step, GradientClip clip) {
        Range range = Objects.requireNonNull(ofSlices.get(slice));
        AdamW8bitState state = new AdamW8bitState(
                parameters.values(),
                parameters.gradients(),
                parameters.computeCopies(),
                moments.of(range.first(), range.count()));
        AdamWStep numbers = new AdamWStep(
                step.learningRate(),
                step.weightDecay(),
                settings.beta1(),
                settings.beta2(),
                settings.epsilon(),
                step.number());
        DeviceKernels.of(parameters.values()).optimizer().adamw8bit(state, numbers, clip);
    }

    @Override
    public Map<String, Tensor> state(FlatParameters.Slot slot) {
        long place = Objects.requireNonNull(places.get(slot.offset()));
        long numbers = slot.master().numel();
        if (place < 0) {
            return Map.of(
                    "state1", wide(0, -1 - place, slot),
                    "state2", wide(1, -1 - place, slot));
        }
        long count = (numbers + BLOCK - 1) / BLOCK;
        return Map.of(
                "state1", codes(0, place, slot),
                "state2", codes(1, place, slot),
                "absmax1", moments.absmax().select(0, 0).narrow(0, place, count),
                "absmax2", moments.absmax().select(0, 1).narrow(0, place, count));
    }

    private Tensor wide(int moment, long first, FlatParameters.Slot slot) {
        return moments.wide()
                .select(0, moment)
                .narrow(0, first, slot.master().numel())
                .view(slot.shape());
    }

    private Tensor codes(int moment, long block, FlatParameters.Slot slot) {
        return moments.codes()
                .select(0, moment)
                .view(-1)
                .narrow(0, block * BLOCK, slot.master().numel())
                .view(slot.shape());
    }

    @Override
    public void close() {
        all(moments).forEach(Tensor::close);
    }
}
