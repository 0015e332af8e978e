package dev.finetune4j.lora.plan.estimate;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.AdapterShape.Footprint;
import dev.finetune4j.lora.adapter.layer.AdapterShape.Trained;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.quant.QuantSettings;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The bytes that do not depend on the batch.
 *
 * @param weights of the base
 * @param packed numbers of the base that are kept in 4 bits and may get dense copies, which experts do not
 * @param adapter of the adapter
 * @param trained shapes of what is trained
 * @param optimizer moves it
 * @param largestDense the largest copy that a single linear makes of its weight, or of a gradient of it, in a pass
 */
record StaticBytes(
        long weights, long packed, long adapter, List<long[]> trained, Optimizer optimizer, long largestDense) {
    private static final String WEIGHT = ".weight";

    static StaticBytes of(
            CausalLM meta,
            @Nullable QuantSettings quantization,
            AdapterShape shape,
            boolean full,
            Placement placement) {
        Map<String, Linear> linears = meta.linears();
        long weights = 0;
        long packedNumbers = 0;
        List<long[]> all = new ArrayList<>();
        for (var entry : meta.parameters().entrySet()) {
            String name = entry.getKey();
            String path = name.endsWith(WEIGHT) ? name.substring(0, name.length() - WEIGHT.length()) : "";
            long count = entry.getValue().numel();
            all.add(entry.getValue().shape());
            if (quantization != null && linears.containsKey(path) && !ModuleNames.isOutputHead(path)) {
                weights += quantization.storedBytes(count);
                packedNumbers += ModuleNames.isOfExpert(path) ? 0 : count;
            } else {
                weights += count * placement.weights().bytes();
            }
        }
        long adapter = Float.BYTES * (shape.trainedValues() + shape.frozenValues());
        Map<String, Footprint> footprints = shape.footprints();
        long largest = 0;
        for (var entry : linears.entrySet()) {
            boolean packed = quantization != null && !ModuleNames.isOutputHead(entry.getKey());
            Footprint footprint = full ? new Trained() : footprints.get(entry.getKey());
            long count = entry.getValue().inFeatures() * entry.getValue().outFeatures();
            largest = Math.max(
                    largest,
                    count * copies(packed, footprint, placement.precision().bytes()));
        }
        if (quantization != null && isGpu(placement)) {
            largest = Math.max(
                    largest, stackedNumbers(meta) * placement.precision().bytes());
        }
        return new StaticBytes(
                weights, packedNumbers, adapter, full ? all : shape.trained(), Optimizer.adamW(), largest);
    }

    /** The numbers of gate and up of all experts of a layer, which are made dense together. */
    private static long stackedNumbers(CausalLM meta) {
        return meta.config().layerTypes().stream()
                .map(LayerType::experts)
                .filter(Objects::nonNull)
                .mapToLong(experts -> 2L
                        * experts.count()
                        * experts.innerSize()
                        * meta.config().hiddenSize())
                .max()
                .orElse(0);
    }

    /** Bytes for each number of a weight that one linear makes for the time of its product. */
    private static long copies(boolean packed, @Nullable Footprint footprint, int number) {
        return (packed ? number : 0) + (footprint == null ? 0 : footprint.weightCopyBytes(number));
    }

    /** The same with another optimizer. */
    StaticBytes with(Optimizer other) {
        return new StaticBytes(weights, packed, adapter, trained, other, largestDense);
    }

    /** The same with a second adapter that is not trained. */
    StaticBytes withFrozenAdapter() {
        return new StaticBytes(weights, packed, 2 * adapter, trained, optimizer, largestDense);
    }

    private long numbers() {
        return AdapterShape.values(trained);
    }

    long gradients() {
        return Float.BYTES * numbers();
    }

    /** What the optimizer keeps, and on a GPU the copies of what is trained in the precision in which that is used. */
    long optimizer(Placement placement) {
        boolean copies = isGpu(placement) && placement.precision() != Precision.FP32;
        return optimizerState() + (copies ? placement.precision().bytes() * numbers() : 0);
    }

    private long optimizerState() {
        return trained.stream().mapToLong(optimizer::stateBytes).sum();
    }

    /** What is trained, and what the optimizer keeps of it. */
    long state() {
        return Float.BYTES * numbers() + optimizerState();
    }

    /**
     * What is there while a step is taken: the direction of Lion; of Adafactor the squares of a gradient, the update, and the
     * clipped gradient, one parameter at a time. Kernels of our own do without.
     */
    long optimizerStep(Placement placement) {
        if (optimizer instanceof Optimizer.Adafactor) {
            long largest = trained.stream()
                    .mapToLong(shape -> AdapterShape.values(List.of(shape)))
                    .max()
                    .orElse(0);
            return 4L * Float.BYTES * largest;
        }
        return optimizer instanceof Optimizer.Lion && !isGpu(placement) ? Float.BYTES * numbers() : 0;
    }

    /** Whether kernels of our own run the passes between matrix products, which keep less than libtorch's operations do. */
    static boolean hasKernels(Placement placement) {
        return isGpu(placement)
                || DeviceKernels.of(placement.device())
                        .elements(Tensors.typeOf(placement.precision()))
                        .isPresent();
    }

    /** Whether a pass is planned for a GPU; the one place of the plan that asks. */
    static boolean isGpu(Placement placement) {
        return placement.device().kind() == ComputeDevice.Kind.CUDA;
    }
}
