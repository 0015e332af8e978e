package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.nn.Parameters;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Makes the projections of a model with 4-bit weights: each weight is read in the type of the file, moved to its
 * device, quantized and let go before the next one is read.
 *
 * <p>A weight that the checkpoint already holds in 4 bit is taken as it is, whatever the settings; in such a
 * checkpoint, weights that are dense were left so on purpose ({@code llm_int8_skip_modules} of its config.json) and stay
 * dense. The output head stays dense, as in QLoRA, because errors there go straight into the probabilities. Thread-safe.
 */
public final class QuantizedLinearFactory implements LinearFactory {
    private final QuantSettings settings;
    private final boolean keepingDense;
    private final LinearFactory dense = LinearFactory.dense();
    private final Map<ComputeDevice, QuantKernels> kernels = new ConcurrentHashMap<>();

    /** Quantizes dense weights with these settings; weights that are packed in the file keep theirs. */
    public QuantizedLinearFactory(QuantSettings settings) {
        this(settings, false);
    }

    private QuantizedLinearFactory(QuantSettings settings, boolean keepingDense) {
        this.settings = Objects.requireNonNull(settings, "settings");
        this.keepingDense = keepingDense;
    }

    /**
     * A factory of linears with the same numbers in dense weights, rounded to the precision of the model: as fast as weights
     * that were never quantized, and as large.
     */
    public QuantizedLinearFactory keepingDense() {
        return new QuantizedLinearFactory(settings, true);
    }

    /**
     * {@inheritDoc}
     *
     * @throws ModelFileException if the weight cannot be quantized, or its 4-bit form is damaged or misshapen
     */
    @Override
    public Linear create(LinearSpec spec, WeightSource weights, Placement placement) {
        if (staysDense(spec, weights)) {
            return dense.create(spec, weights, placement);
        }
        QuantizedTensor weight = weight(spec, weights, placement);
        try {
            @Nullable Tensor bias = spec.bias() ? Parameters.load(weights, spec.biasName(), placement) : null;
            return keepingDense
                    ? dense(weight, bias, Tensors.typeOf(placement.precision()))
                    : new QuantizedLinear(weight, bias);
        } catch (RuntimeException e) {
            weight.close();
            throw e;
        }
    }

    /**
     * {@inheritDoc}
     *
     * @throws ModelFileException if a weight cannot be quantized, or its 4-bit form is damaged or misshapen
     */
    @Override
    public List<Linear> createStacked(List<LinearSpec> specs, WeightSource weights, Placement placement) {
        List<Boolean> packed =
                specs.stream().map(spec -> readsPacked(spec, weights)).toList();
        if (!packed.contains(true) && staysDense(specs.get(0), weights)) {
            return dense.createStacked(specs, weights, placement);
        }
        // Weights that a checkpoint has in both forms lie apart.
        if (keepingDense || (packed.contains(true) && packed.contains(false))) {
            return LinearFactory.super.createStacked(specs, weights, placement);
        }
        List<Linear> linears = new ArrayList<>();
        try {
            QuantizedStack stack = null;
            for (LinearSpec spec : specs) {
                QuantizedTensor weight = weight(spec, weights, placement);
                if (stack == null && linears.isEmpty() && QuantizedStack.fits(weight)) {
                    stack = QuantizedStack.like(weight, specs.size());
                }
                linears.add(new QuantizedLinear(stack == null ? weight : moved(weight, stack), null));
            }
            return linears;
        } catch (RuntimeException | Error e) {
            linears.forEach(Linear::close);
            throw e;
        }
    }

    private static QuantizedTensor moved(QuantizedTensor weight, QuantizedStack stack) {
        if (!stack.accepts(weight)) {
            return weight;
        }
        try (weight) {
            return stack.add(weight);
        }
    }

    private boolean staysDense(LinearSpec spec, WeightSource weights) {
        return !readsPacked(spec, weights) && (spec.outputHead() || QuantizedTensor.isAnyStoredIn(weights));
    }

    private QuantizedTensor weight(LinearSpec spec, WeightSource weights, Placement placement) {
        QuantKernels chosen = kernels.computeIfAbsent(placement.device(), QuantKernels::forDevice);
        QuantizedTensor weight = readsPacked(spec, weights)
                ? new QuantizedReader(weights, spec.weightName(), placement.device()).read(chosen)
                : quantize(spec, weights, placement.device(), chosen);
        long[] expected = {spec.outFeatures(), spec.inFeatures()};
        if (!Arrays.equals(weight.shape(), expected)) {
            weight.close();
            throw new ModelFileException("the 4-bit weight " + spec.weightName() + " has the shape "
                    + Arrays.toString(weight.shape()) + ", but config.json asks for " + Arrays.toString(expected)
                    + "; take config.json and weights from the same model");
        }
        return weight;
    }

    private static Linear dense(QuantizedTensor weight, @Nullable Tensor bias, ScalarType type) {
        try (weight;
                TensorScope scope = new TensorScope()) {
            return new DenseLinear(scope.release(weight.dequantize(type)), bias);
        }
    }

    @Override
    public boolean readsPacked(LinearSpec spec, WeightSource weights) {
        return QuantizedTensor.isStoredIn(weights, spec.weightName());
    }

    private QuantizedTensor quantize(LinearSpec spec, WeightSource weights, ComputeDevice device, QuantKernels chosen) {
        try (TensorScope scope = new TensorScope()) {
            Tensor stored = weights.read(spec.weightName());
            return chosen.quantize(
                    stored.to(Tensors.handleOf(device), stored.scalar_type().intern()), settings);
        } catch (IllegalArgumentException e) {
            throw new ModelFileException(
                    "the weight " + spec.weightName() + " cannot be quantized: " + e.getMessage(), e);
        }
    }
}
