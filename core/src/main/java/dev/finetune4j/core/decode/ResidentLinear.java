package dev.finetune4j.core.decode;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Map;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A linear by a weight that was unpacked for good, with the low-rank addition of an adapter or without. For passes that record no
 * gradients; it owns nothing.
 *
 * @param original what it stands for
 * @param weight that of its base, shape (out, in)
 * @param added null for nothing
 */
record ResidentLinear(Linear original, Tensor weight, GemvWeight.@Nullable LowRank added) implements Linear {
    @Override
    public Tensor forward(Tensor x) {
        try (TensorScope scope = new TensorScope()) {
            ScalarType type = Tensors.typeOf(x);
            Tensor bias = original.bias();
            Tensor y = DeviceKernels.of(x).matmul().forward(x, weight, bias == null ? null : Tensors.as(bias, type));
            if (added == null) {
                return scope.keep(y);
            }
            Tensor flat = x.reshape(-1, x.size(-1)); // (n, in)
            Tensor low = torch.linear(flat, Tensors.as(added.a(), type)).mul_(new Scalar(added.scale())); // (n, r)
            Tensor sum = y.view(-1, y.size(-1));
            sum.addmm_(low, Tensors.as(added.b(), type).t());
            return scope.keep(y);
        }
    }

    @Override
    public long inFeatures() {
        return original.inFeatures();
    }

    @Override
    public long outFeatures() {
        return original.outFeatures();
    }

    @Override
    public Tensor denseWeight() {
        return original.denseWeight();
    }

    @Override
    public Map<String, Tensor> parameters() {
        return Map.of();
    }

    @Override
    public @Nullable Tensor bias() {
        return original.bias();
    }

    @Override
    public void close() {
        // What it stands for has an owner.
    }
}
