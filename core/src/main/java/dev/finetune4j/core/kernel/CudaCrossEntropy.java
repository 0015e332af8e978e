package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** On a CUDA GPU ({@code crossentropy.cu}), one block for a row. */
record CudaCrossEntropy(ComputeDevice device) implements FusedLoss.CrossEntropy {
    private static final int THREADS = 1024;

    @Override
    public void run(Tensor logits, Tensor labels, Tensor losses, Tensor scale, double cap) {
        CudaModule.of(CudaCrossEntropy.class, "crossentropy.cu", device)
                .kernel(Tensors.typeOf(logits) == ScalarType.Float ? "cross_entropy_f32" : "cross_entropy_bf16")
                .launch(logits.size(0), THREADS, logits, labels, losses, scale, Math.toIntExact(logits.size(1)), (float)
                        cap);
    }
}
