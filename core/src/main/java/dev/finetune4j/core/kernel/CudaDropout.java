package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** On a CUDA GPU ({@code dropout.cu}). */
record CudaDropout(ComputeDevice device) implements DropoutKernel {
    private static final int THREADS = 256;
    private static final int ELEMENTS_OF_THREAD = 8;
    private static final long MAX_BLOCKS = 4096;

    @Override
    public void apply(Tensor x, Tensor y, Mask mask) {
        long wanted = (x.numel() + THREADS * ELEMENTS_OF_THREAD - 1) / (THREADS * ELEMENTS_OF_THREAD);
        if (wanted == 0) {
            return;
        }
        CudaModule.of(CudaDropout.class, "dropout.cu", device)
                .kernel(Tensors.typeOf(x) == ScalarType.Float ? "dropout_f32" : "dropout_bf16")
                .launch(
                        Math.min(wanted, MAX_BLOCKS),
                        THREADS,
                        x,
                        y,
                        x.numel(),
                        mask.part(),
                        mask.module(),
                        mask.pass(),
                        mask.passOnDevice(),
                        (int) mask.seed(),
                        (int) (mask.seed() >>> Integer.SIZE),
                        mask.threshold(),
                        mask.scale());
    }
}
