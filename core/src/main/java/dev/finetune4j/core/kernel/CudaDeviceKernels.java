package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.kernel.cuda.CudaPreload;
import dev.finetune4j.core.kernel.cuda.CudaReadback;
import dev.finetune4j.core.kernel.cuda.CudaStream;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** A CUDA GPU with kernels of our own, in float32 and bfloat16. */
final class CudaDeviceKernels implements DeviceKernels {
    private final ComputeDevice device;
    private final MatmulKernels matmul = new CudaMatmul();
    private final LowRankMatmul lowRank;
    private final LossKernels loss;
    private final GroupedMatmul grouped = new GroupedMatmul();
    private final OptimizerKernels optimizer;

    CudaDeviceKernels(ComputeDevice device) {
        this.device = device;
        this.lowRank = new CudaLowRankMatmul(device, new ComposedLowRankMatmul(matmul));
        this.loss = new FusedLoss(new CudaCrossEntropy(device));
        this.optimizer = new CudaOptimizer(device);
    }

    @Override
    public Optional<Elementwise> elements(ScalarType type) {
        return DeviceKernels.supports(type) ? Optional.of(CudaElementwise.of(device, type.intern())) : Optional.empty();
    }

    @Override
    public ScalarType attentionType(ScalarType type) {
        return type;
    }

    @Override
    public Optional<SequenceAttention> attention(AttentionSpec spec, ScalarType type) {
        if (type.intern() != ScalarType.BFloat16) {
            return Optional.empty();
        }
        if (TorchCudaAttention.supports(spec)) {
            return Optional.of(new TorchCudaAttention(spec));
        }
        return CudaAttention.supports(device, spec) ? Optional.of(new CudaAttention(device, spec)) : Optional.empty();
    }

    @Override
    public Optional<HeadKernels> heads(ScalarType type) {
        return DeviceKernels.supports(type) ? Optional.of(CudaHeads.of(device, type.intern())) : Optional.empty();
    }

    @Override
    public Optional<DropoutKernel> dropout(ScalarType type) {
        return DeviceKernels.supports(type) ? Optional.of(new CudaDropout(device)) : Optional.empty();
    }

    @Override
    public LossKernels loss() {
        return loss;
    }

    @Override
    public Optional<GroupedMatmul> grouped(ScalarType type) {
        return type.intern() == ScalarType.BFloat16 ? Optional.of(grouped) : Optional.empty();
    }

    @Override
    public Precision fastestPrecision() {
        return Precision.BF16;
    }

    @Override
    public MatmulKernels matmul() {
        return matmul;
    }

    /** Kernels are compiled, and libraries woken up, while the model is read. */
    @Override
    public LowRankMatmul lowRank() {
        return lowRank;
    }

    @Override
    public void prepare(Precision precision, int headDim) {
        CudaPreload.modules(
                CudaDeviceKernels.class, device, "elementwise.cu", "crossentropy.cu", "adamw.cu", "dropout.cu");
        CudaPreload.modules(CudaDeviceKernels.class, device, "gemv.cu", "decode.cu");
        CudaDecodeKernels.prepare(device, Tensors.typeOf(precision), headDim);
        CudaWakeUp.begin(device, Tensors.typeOf(precision));
    }

    @Override
    public boolean isAsync() {
        return true;
    }

    @Override
    public Optional<CudaStream> captureStream() {
        return Optional.of(CudaStream.open(device));
    }

    @Override
    public void synchronize() {
        CudaMemory.synchronize();
    }

    @Override
    public OptimizerKernels optimizer() {
        return optimizer;
    }

    @Override
    public Readback readback(Tensor values) {
        return Readback.later(CudaReadback.of(values));
    }

    @Override
    public @Nullable GemvWeight<?> gemvWeight(Tensor weight, @Nullable Tensor bias, ScalarType type) {
        return DenseGemvKernel.weight(weight, bias, type);
    }

    @Override
    public @Nullable ExpertGemv expertGemv(List<Tensor> weights, ScalarType type) {
        return DenseExpertGemv.of(weights, type);
    }

    @Override
    public Optional<DecodeKernels> decode(ScalarType type) {
        return DeviceKernels.supports(type)
                ? Optional.of(new CudaDecodeKernels(device, type.intern()))
                : Optional.empty();
    }
}
