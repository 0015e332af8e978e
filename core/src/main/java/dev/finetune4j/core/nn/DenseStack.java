package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.AdjacentTensors;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Dense weights of one shape that were read behind one another.
 *
 * @param weights each of shape (out, in)
 * @param groups how many of equal size they make
 */
record DenseStack(List<Tensor> weights, int groups) implements WeightStack {
    @Override
    public Tensor dense(ScalarType type) {
        Tensor rows = AdjacentTensors.rows(weights);
        return Tensors.as(rows.view(groups, rows.size(0) / groups, rows.size(1)), type);
    }

    @Override
    public boolean isOneByOne() {
        return GradMode.is_enabled() && weights.stream().anyMatch(Tensor::requires_grad);
    }

    @Override
    public @Nullable ExpertGemv gemv(ScalarType type) {
        return DeviceKernels.of(weights.get(0)).expertGemv(weights, type);
    }
}
