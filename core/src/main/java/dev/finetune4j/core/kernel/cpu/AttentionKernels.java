package dev.finetune4j.core.kernel.cpu;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Causal attention of whole sequences, forward and backward, at one level
 * (<a href="https://arxiv.org/abs/2205.14135">FlashAttention, Dao et al. 2022</a>): scores are made piece by piece and never
 * kept. Tensors are float32 or bfloat16 and contiguous; sums are float32. Thread-safe.
 */
public final class AttentionKernels {
    /** The most channels of a head. */
    public static final int MAX_HEAD_SIZE = 256;

    private final CpuLevel level;

    AttentionKernels(CpuLevel level) {
        this.level = level;
    }

    /**
     * The heads of a token.
     *
     * @param heads of queries
     * @param kvHeads of keys and of values, a divisor of the heads
     * @param size channels of each, at most {@link #MAX_HEAD_SIZE}
     * @param scale factor on the dot products
     * @param softCap bound that a hyperbolic tangent puts on the scaled dot products; 0 for none
     * @param window how many positions a token sees, itself included; 0 for all
     */
    public record Heads(int heads, int kvHeads, int size, float scale, float softCap, int window) {
        private long joint() {
            return (heads + 2L * kvHeads) * size;
        }

        private void requireSound() {
            boolean sound = size >= 1 && size <= MAX_HEAD_SIZE && kvHeads >= 1 && heads >= 1 && heads % kvHeads == 0;
            if (!sound || softCap < 0 || window < 0) {
                throw new IllegalArgumentException("no attention of " + this);
            }
        }
    }

    private static long[] shape(Heads of, Tensor qkv) {
        of.requireSound();
        if (qkv.dim() != 3 || qkv.size(2) != of.joint()) {
            throw new IllegalArgumentException("rows of " + qkv.size(-1) + " numbers in " + qkv.dim()
                    + " dimensions do not hold the queries, keys and values of " + of);
        }
        return new long[] {qkv.size(0), qkv.size(1), of.heads, of.kvHeads, of.size, of.joint(), of.window};
    }

    /**
     * Attention of each token over itself and those before it.
     *
     * @param qkv shape (B, T, (heads + 2 · kv heads) · size): queries, keys and values of a token behind one another
     * @param y shape (B, T, heads · size), of the type of qkv
     * @param logs float32, shape (B, heads, T): gets the logarithm of the sum of a query's weights
     */
    public void forward(Heads of, Tensor qkv, Tensor y, Tensor logs) {
        long[] shape = shape(of, qkv);
        ScalarType type = Tensors.typeOf(qkv);
        CpuNative.cpu_attend_sequences(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(type),
                shape,
                of.scale,
                of.softCap,
                FourBitWeight.address("queries, keys and values", qkv, type, shape[0] * shape[1] * shape[5]),
                FourBitWeight.address("output", y, type, shape[0] * shape[1] * of.heads * of.size),
                FourBitWeight.address("logarithms", logs, ScalarType.Float, shape[0] * of.heads * shape[1]));
    }

    /**
     * The gradients of queries, keys and values.
     *
     * @param y the output of {@link #forward}
     * @param gradient of y
     * @param logs of {@link #forward}
     * @param gradients as qkv; may be it
     */
    public void backward(Heads of, Tensor qkv, Tensor y, Tensor gradient, Tensor logs, Tensor gradients) {
        long[] shape = shape(of, qkv);
        ScalarType type = Tensors.typeOf(qkv);
        long numbers = shape[0] * shape[1] * of.heads * of.size;
        try (TensorScope scope = new TensorScope()) {
            Tensor room = Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, 2 * numbers);
            CpuNative.cpu_attend_sequences_back(
                    level.number,
                    TorchRuntime.threads(),
                    ElementKernels.number(type),
                    shape,
                    of.scale,
                    of.softCap,
                    FourBitWeight.address("queries, keys and values", qkv, type, shape[0] * shape[1] * shape[5]),
                    FourBitWeight.address("output", y, type, numbers),
                    FourBitWeight.address("gradient", gradient, type, numbers),
                    FourBitWeight.address("logarithms", logs, ScalarType.Float, shape[0] * of.heads * shape[1]),
                    FourBitWeight.address("gradients", gradients, type, shape[0] * shape[1] * shape[5]),
                    FourBitWeight.address(room));
        }
    }
}
