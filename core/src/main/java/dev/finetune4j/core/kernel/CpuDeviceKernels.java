package dev.finetune4j.core.kernel;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.cpu.AttentionKernels;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The CPU with kernels of our own, in float32 and bfloat16. */
final class CpuDeviceKernels implements DeviceKernels {
    private final CpuKernels kernels;
    private final Elementwise elements;
    private final MatmulKernels matmul;
    private final LossKernels loss;
    private final OptimizerKernels optimizer;

    CpuDeviceKernels(CpuKernels kernels) {
        this.kernels = kernels;
        this.elements = new CpuElementwise(kernels.elements());
        this.matmul = new CpuMatmul(kernels.products());
        this.loss = new FusedLoss((logits, labels, losses, scale, cap) ->
                kernels.elements().crossEntropy(logits, labels, losses, scale.item_float(), (float) cap));
        this.optimizer = new CpuOptimizer(kernels.elements());
    }

    @Override
    public Optional<Elementwise> elements(ScalarType type) {
        return DeviceKernels.supports(type) ? Optional.of(elements) : Optional.empty();
    }

    @Override
    public Optional<SequenceAttention> attention(AttentionSpec spec, ScalarType type) {
        return DeviceKernels.supports(type) && spec.headDim() <= AttentionKernels.MAX_HEAD_SIZE
                ? Optional.of(new CpuAttention(kernels.attention(), spec))
                : Optional.empty();
    }

    @Override
    public Optional<DropoutKernel> dropout(ScalarType type) {
        return DeviceKernels.supports(type) ? Optional.of(this::drop) : Optional.empty();
    }

    private void drop(Tensor x, Tensor y, DropoutKernel.Mask mask) {
        int[] counter = {mask.part(), mask.module(), mask.pass()};
        kernels.elements().dropout(x, y, counter, mask.seed(), mask.threshold(), mask.scale());
    }

    @Override
    public LossKernels loss() {
        return loss;
    }

    /** bfloat16 where the kernels multiply pairs of such numbers; otherwise they make float32 numbers of them first. */
    @Override
    public Precision fastestPrecision() {
        return kernels.multipliesPairs() ? Precision.BF16 : Precision.FP32;
    }

    @Override
    public MatmulKernels matmul() {
        return matmul;
    }

    @Override
    public OptimizerKernels optimizer() {
        return optimizer;
    }

    @Override
    public @Nullable GemvWeight<?> gemvWeight(Tensor weight, @Nullable Tensor bias, ScalarType type) {
        return CpuGemvKernel.dense(weight, bias, type);
    }

    @Override
    public Optional<DecodeKernels> decode(ScalarType type) {
        return DeviceKernels.supports(type)
                ? Optional.of(new CpuDecodeKernels(kernels, type.intern()))
                : Optional.empty();
    }
}
