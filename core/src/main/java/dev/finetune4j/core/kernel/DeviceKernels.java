package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.ElementKernels;
import dev.finetune4j.core.kernel.cuda.CudaStream;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What a device computes with, chosen once for each device: kernels of our own on a CUDA GPU and on a CPU, libtorch's operations
 * for whatever these do not have. A method without an override in an implementation is libtorch's, which always serves, so that
 * nobody above has to ask which processor a tensor is on. Thread-safe; lives as long as the process.
 */
public interface DeviceKernels {
    /** The kernels of a device. That a GPU exists is checked when a kernel is first used. */
    static DeviceKernels of(ComputeDevice device) {
        return Chosen.OF_DEVICE.computeIfAbsent(device, Chosen::choose);
    }

    /** The kernels of the device that a tensor is on. */
    static DeviceKernels of(Tensor tensor) {
        return of(Tensors.deviceOf(tensor));
    }

    /** Whether kernels of our own compute in a type, on a device that has them. */
    static boolean supports(ScalarType type) {
        return ElementKernels.supports(type.intern());
    }

    /** The one choice. */
    final class Chosen {
        private static final Map<ComputeDevice, DeviceKernels> OF_DEVICE = new ConcurrentHashMap<>();

        private Chosen() {}

        private static DeviceKernels choose(ComputeDevice device) {
            if (device.kind() == ComputeDevice.Kind.CUDA) {
                return new CudaDeviceKernels(device);
            }
            return CpuKernels.get().<DeviceKernels>map(CpuDeviceKernels::new).orElseGet(TorchDeviceKernels::new);
        }
    }

    /**
     * The element-wise passes between matrix products by kernels of our own; empty where libtorch's operations are all there is.
     *
     * @param type of the tensors
     */
    default Optional<Elementwise> elements(ScalarType type) {
        return Optional.empty();
    }

    /**
     * What a decoder needs for one new token besides its GEMVs; empty where libtorch's operations are all there is.
     *
     * @param type of the activations
     */
    default Optional<DecodeKernels> decode(ScalarType type) {
        return Optional.empty();
    }

    /**
     * Causal attention of whole sequences without all their scores in memory; empty where libtorch's products are all there is.
     *
     * @param type of queries, keys and values
     */
    default Optional<SequenceAttention> attention(AttentionSpec spec, ScalarType type) {
        return Optional.empty();
    }

    /**
     * The passes over the heads of queries and keys around attention by kernels of our own; empty where others do.
     *
     * @param type of the tensors
     */
    default Optional<HeadKernels> heads(ScalarType type) {
        return Optional.empty();
    }

    /** The type in which libtorch's attention is quickest for numbers of a type. */
    default ScalarType attentionType(ScalarType type) {
        // On a CPU it multiplies bfloat16 numbers one by one, but float32 ones in vectors.
        return type.intern() == ScalarType.BFloat16 ? ScalarType.Float : type;
    }

    /**
     * Dropout by a kernel of our own; empty where masks are made on the host.
     *
     * @param type of the tensors
     */
    default Optional<DropoutKernel> dropout(ScalarType type) {
        return Optional.empty();
    }

    /** Losses and their gradients. */
    default LossKernels loss() {
        return TorchLoss.INSTANCE;
    }

    /**
     * Gets the process ready for a model that computes in a precision.
     *
     * @param headDim channels of its heads
     */
    default void prepare(Precision precision, int headDim) {
        TorchRuntime.shareThreads(precision);
    }

    /** Whether operations are only enqueued, so that launches count and what comes again is worth a capture. */
    default boolean isAsync() {
        return false;
    }

    /**
     * A stream of the device's own, on which work can be captured and replayed; empty where work is done when a call returns.
     * The caller closes it.
     */
    default Optional<CudaStream> captureStream() {
        return Optional.empty();
    }

    /** Waits until the device has done what it was asked. */
    default void synchronize() {
        // On a CPU work is done when a call returns.
    }

    /** The number format in which models are fastest. */
    default Precision fastestPrecision() {
        return Precision.FP32;
    }

    /** The steps of optimizers. */
    default OptimizerKernels optimizer() {
        return TorchOptimizer.INSTANCE;
    }

    /** Products of matrices. */
    default MatmulKernels matmul() {
        return TorchMatmul.INSTANCE;
    }

    /**
     * Products of rows with the matrices of their groups in one operation; empty where one group after the other is as quick.
     *
     * @param type of rows and matrices
     */
    default Optional<GroupedMatmul> grouped(ScalarType type) {
        return Optional.empty();
    }

    /** Products of LoRA's factors. */
    default LowRankMatmul lowRank() {
        return new ComposedLowRankMatmul(matmul());
    }

    /**
     * A dense weight as a decoder multiplies single vectors by it; null where libtorch's matmul is all there is.
     *
     * @param weight shape (out, in)
     * @param bias shape (out), or null
     * @param type of the input and the output
     */
    default @Nullable GemvWeight<?> gemvWeight(Tensor weight, @Nullable Tensor bias, ScalarType type) {
        return null;
    }

    /**
     * Dense weights of one shape as a decoder multiplies rows by a few of them; null where there is no such way.
     *
     * @param weights each of shape (out, in)
     * @param type of the input and the output
     */
    default @Nullable ExpertGemv expertGemv(List<Tensor> weights, ScalarType type) {
        return null;
    }

    /**
     * Asks for numbers as they are when the device has done what it was asked before; on a GPU without waiting for it.
     *
     * @param values of any type, on this device
     */
    default Readback readback(Tensor values) {
        return Readback.known(values);
    }
}
