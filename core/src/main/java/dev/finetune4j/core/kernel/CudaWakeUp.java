package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaPreload;
import dev.finetune4j.core.kernel.cuda.GemmSelector;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Uses a GPU's libraries once, on small tensors: cuBLAS and cuDNN take tenths of a second to find their kernels, and the driver
 * loads each kernel when it is first launched.
 */
final class CudaWakeUp {
    private static final long ROWS = 2048;
    private static final long WIDTH = 4096;
    private static final long HEADS = 4;
    private static final long TOKENS = 256;
    private static final long HEAD_SIZE = 128;

    private CudaWakeUp() {}

    /** In a thread of its own, once in a process for each type. */
    static void begin(ComputeDevice device, ScalarType type) {
        CudaPreload.once(
                "wake up " + device + ' ' + type, List.of(() -> matmul(device, type), () -> attention(device, type)));
    }

    private static void matmul(ComputeDevice device, ScalarType type) {
        try (CUDAGuard current = new CUDAGuard((byte) device.index());
                TensorScope scope = new TensorScope()) {
            Tensor x = Tensors.zeros(device, type, ROWS, WIDTH);
            Tensor weight = Tensors.zeros(device, type, WIDTH, WIDTH);
            Tensor y = torch.matmul(x, weight);
            GemmSelector.multiply(y, x, weight, true, false);
        }
    }

    private static void attention(ComputeDevice device, ScalarType type) {
        try (CUDAGuard current = new CUDAGuard((byte) device.index());
                TensorScope scope = TensorScope.forStep()) {
            Tensor q = Tensors.zeros(device, type, 1, HEADS, TOKENS, HEAD_SIZE).set_requires_grad(true);
            torch.scaled_dot_product_attention(q, q, q, new TensorOptional(), 0.0, true, new DoubleOptional(1.0), false)
                    .sum()
                    .backward();
        }
    }
}
