package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Locale;
import java.util.Objects;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.AutoGradMode;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Node;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** What a GPU reaches at most: a copy, a large product, and attention with the name of the kernel that libtorch chose. */
final class Roofline {
    private static final int SIZE = 8192;
    private static final int TOKENS = 2048;
    private static final int HEADS = 32;
    private static final int KV_HEADS = 4;
    private static final int HEAD_SIZE = 128;
    /** Of a causal forward pass. */
    private static final double FLOPS = 2.0 * HEADS * TOKENS * TOKENS * HEAD_SIZE;

    private Roofline() {}

    static void cells(ComputeDevice gpu) {
        copy(gpu);
        product(gpu);
        attention(gpu);
    }

    private static void copy(ComputeDevice gpu) {
        try (TensorScope scope = new TensorScope()) {
            Tensor from = Tensors.ones(gpu, ScalarType.Byte, 1L << 30);
            Tensor to = Tensors.empty(gpu, ScalarType.Byte, 1L << 30);
            double ms = KernelCells.millis(i -> to.copy_(from));
            print("\"op\": \"copy\", \"gb_s\": %.0f", 2 * (1L << 30) / ms / 1e6);
        }
    }

    private static void product(ComputeDevice gpu) {
        try (TensorScope scope = new TensorScope()) {
            Tensor a = KernelCells.normal(gpu, 1, SIZE, SIZE);
            Tensor b = KernelCells.normal(gpu, 1, SIZE, SIZE);
            double ms = KernelCells.millis(i -> torch.matmul(a, b));
            print("\"op\": \"gemm\", \"n\": %d, \"tflops\": %.0f", SIZE, 2.0 * SIZE * SIZE * SIZE / ms / 1e9);
        }
    }

    private static void attention(ComputeDevice gpu) {
        try (TensorScope scope = new TensorScope()) {
            Tensor q = KernelCells.normal(gpu, 1, 1, HEADS, TOKENS, HEAD_SIZE);
            Tensor k = KernelCells.normal(gpu, 1, 1, KV_HEADS, TOKENS, HEAD_SIZE);
            Tensor v = KernelCells.normal(gpu, 1, 1, KV_HEADS, TOKENS, HEAD_SIZE);
            Tensor gradient = KernelCells.normal(gpu, 1, 1, HEADS, TOKENS, HEAD_SIZE);
            double forward = KernelCells.millis(i -> attend(q, k, v));
            for (Tensor leaf : new Tensor[] {q, k, v}) {
                leaf.set_requires_grad(true);
            }
            TensorVector leaves = new TensorVector(q, k, v);
            TensorVector gradients = new TensorVector(gradient);
            try (AutoGradMode recording = new AutoGradMode(true)) {
                double both = KernelCells.millis(i -> torch.grad(
                        new TensorVector(attend(q, k, v)), leaves, gradients, new BoolOptional(), false, false));
                print(
                        "\"op\": \"sdpa\", \"backend\": \"%s\", \"batch\": 1, \"seq\": %d, \"heads\": %d, \"kv_heads\": %d,"
                                + " \"head_dim\": %d, \"fwd_ms\": %.4f, \"fwd_tflops\": %.0f, \"fwd_bwd_ms\": %.4f,"
                                + " \"bwd_tflops\": %.0f",
                        kernel(q, k, v),
                        TOKENS,
                        HEADS,
                        KV_HEADS,
                        HEAD_SIZE,
                        forward,
                        FLOPS / forward / 1e9,
                        both,
                        2.5 * FLOPS / (both - forward) / 1e9);
            }
        }
    }

    /** Which attention ran, by the name of its backward pass. */
    private static String kernel(Tensor q, Tensor k, Tensor v) {
        try (TensorScope scope = new TensorScope();
                Tensor mixed = attend(q, k, v);
                Node node = Objects.requireNonNull(mixed.grad_fn());
                BytePointer name = node.name()) {
            return name.getString()
                    .replaceAll("ScaledDotProduct(.*)AttentionBackward.*", "$1")
                    .toLowerCase(Locale.ROOT);
        }
    }

    private static Tensor attend(Tensor q, Tensor k, Tensor v) {
        return torch.scaled_dot_product_attention(
                q, k, v, new TensorOptional(), 0.0, true, new DoubleOptional(1 / Math.sqrt(HEAD_SIZE)), true);
    }

    private static void print(String format, Object... values) {
        KernelCells.print("roofline", format, values);
    }
}
