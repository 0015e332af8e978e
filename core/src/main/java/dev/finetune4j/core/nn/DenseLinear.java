package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.AdjacentTensors;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** A linear with an ordinary weight matrix. The weight may be trained; in lower precision it is cast as it is used. */
public final class DenseLinear implements Linear {
    private final Tensor weight;
    private final @Nullable Tensor bias;
    private final long inFeatures;
    private final long outFeatures;

    /**
     * @param weight shape (out, in); owned by this linear from now on
     * @param bias shape (out), or null; owned by this linear
     */
    public DenseLinear(Tensor weight, @Nullable Tensor bias) {
        this.weight = weight;
        this.bias = bias;
        this.outFeatures = weight.size(0);
        this.inFeatures = weight.size(1);
    }

    @Override
    public Tensor forward(Tensor x) {
        return LinearFunction.of(x, weight, bias);
    }

    @Override
    public long inFeatures() {
        return inFeatures;
    }

    @Override
    public long outFeatures() {
        return outFeatures;
    }

    @Override
    public Tensor denseWeight() {
        return weight.detach().to(ScalarType.Float, false, true, new MemoryFormatOptional());
    }

    @Override
    public Map<String, Tensor> parameters() {
        Map<String, Tensor> parameters = new LinkedHashMap<>();
        parameters.put("weight", weight);
        if (bias != null) {
            parameters.put("bias", bias);
        }
        return parameters;
    }

    @Override
    public @Nullable Tensor bias() {
        return bias;
    }

    @Override
    public @Nullable FrozenMatmul frozen() {
        boolean trained = weight.requires_grad() || (bias != null && bias.requires_grad());
        return trained ? null : new DenseMatmul(weight);
    }

    @Override
    public Optional<WeightStack> stackedWith(List<Linear> linears, int groups) {
        List<Tensor> weights = new ArrayList<>();
        for (Linear linear : linears) {
            if (!(linear instanceof DenseLinear dense) || dense.bias != null) {
                return Optional.empty();
            }
            weights.add(dense.weight);
        }
        try (TensorScope scope = new TensorScope()) {
            if (AdjacentTensors.view(weights).isEmpty()) {
                return Optional.empty();
            }
        }
        return Optional.of(new DenseStack(weights, groups));
    }

    @Override
    public @Nullable GemvWeight<?> gemvWeight(ScalarType type) {
        return DeviceKernels.of(weight).gemvWeight(weight, bias, type);
    }

    @Override
    public void close() {
        weight.close();
        if (bias != null) {
            bias.close();
        }
    }
}
