package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Cross entropy on a CUDA GPU or a CPU in two passes over the logits, whose gradients take their place, so that no copy of them in
 * float32 is made. Thread-safe; the kernels live as long as the process.
 */
public final class CrossEntropyKernel {
    private static final int THREADS = 1024;
    private static final Map<ComputeDevice, CrossEntropyKernel> OF_DEVICE = new ConcurrentHashMap<>();

    private final CudaKernel floats;
    private final CudaKernel halves;

    private CrossEntropyKernel(ComputeDevice device) {
        CudaModule module = CudaModule.of(CrossEntropyKernel.class, "crossentropy.cu", device);
        floats = module.kernel("cross_entropy_f32");
        halves = module.kernel("cross_entropy_bf16");
    }

    /** Whether it can take these logits. */
    public static boolean supports(Tensor logits) {
        return Elementwise.supports(logits) && logits.is_contiguous() && logits.storage_offset() == 0;
    }

    /**
     * Turns logits into their gradients.
     *
     * @param logits shape (n, V), written over
     * @param labels int64, shape (n); one below 0 makes no loss
     * @param scale factor on the loss, one float32 on the same device
     * @return the loss of each row, not scaled, float32, shape (n)
     */
    public static Tensor toGradients(Tensor logits, Tensor labels, Tensor scale) {
        ComputeDevice device = Tensors.deviceOf(logits);
        if (device.kind() == ComputeDevice.Kind.CPU) {
            Tensor losses = Tensors.empty(device, ScalarType.Float, logits.size(0));
            CpuKernels.get().orElseThrow().elements().crossEntropy(logits, labels, losses, scale.item_float());
            return losses;
        }
        CrossEntropyKernel kernels = OF_DEVICE.computeIfAbsent(device, CrossEntropyKernel::new);
        Tensor losses = Tensors.empty(device, ScalarType.Float, logits.size(0));
        CudaKernel kernel = Tensors.typeOf(logits) == ScalarType.Float ? kernels.floats : kernels.halves;
        kernel.launch(logits.size(0), THREADS, logits, labels, losses, scale, Math.toIntExact(logits.size(1)));
        return losses;
    }
}
