package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Node;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_cuda;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Attention of a training step on a GPU is cuDNN's, which is twice as fast as the others on Hopper, and agrees with float32 on
 * the CPU. libtorch falls back in silence where a layout or shape does not suit it.
 */
class AttentionKernelTest {
    private static final ComputeDevice GPU = TestGpu.device();

    @BeforeEach
    void needHopper() {
        Needs.gpu();
        Needs.that(
                torch_cuda.getDeviceProperties((byte) 0).major() == 9,
                "libtorch prefers cuDNN's attention on GPUs of compute capability 9");
    }

    /** As a projection leaves it: (B, T, heads, size), seen as (B, heads, T, size). */
    private static Tensor heads(
            int seed, ComputeDevice device, ScalarType type, int batch, int tokens, int n, int size) {
        Tensor values = Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(seed), 1, batch, tokens, n, size)
                .to(ScalarType.BFloat16);
        return Tensors.convert(values, device, type).transpose(1, 2).detach().set_requires_grad(true);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 2048, 32, 4, 128",
        "4, 517, 14, 2, 64",
        "2, 1024, 32, 8, 64",
        "3, 33, 8, 8, 128",
        "1, 257, 16, 2, 128"
    })
    void isThatOfCudnn(int batch, int tokens, int heads, int kvHeads, int size) {
        Attention.Shape shape = new Attention.Shape(heads, kvHeads, size, 1 / Math.sqrt(size), 0);
        float[][] expected = run(shape, ComputeDevice.cpu(), ScalarType.Float, batch, tokens);
        float[][] actual = run(shape, GPU, ScalarType.BFloat16, batch, tokens);
        for (int i = 0; i < expected.length; i++) {
            double norm = 0;
            double difference = 0;
            for (int k = 0; k < expected[i].length; k++) {
                norm += expected[i][k] * expected[i][k];
                difference += Math.pow(expected[i][k] - actual[i][k], 2);
            }
            assertTrue(difference <= 1e-4 * norm, "output and gradients, the " + i + "th: " + difference / norm);
        }
    }

    /** The output, and the gradients of query, key and value. */
    private static float[][] run(Attention.Shape shape, ComputeDevice device, ScalarType type, int batch, int tokens) {
        try (TensorScope scope = TensorScope.forStep();
                RotaryEmbedding rotary =
                        new RotaryEmbedding(new RopeSpec(10_000, shape.headDim(), new RopeScaling.None()), device)) {
            Attention.Context context = new Attention.Context(rotary.angles(0, tokens, type), null, null, 0);
            Tensor q = heads(1, device, type, batch, tokens, shape.heads(), shape.headDim());
            Tensor k = heads(2, device, type, batch, tokens, shape.kvHeads(), shape.headDim());
            Tensor v = heads(3, device, type, batch, tokens, shape.kvHeads(), shape.headDim());
            Tensor mixed = Attention.plain(shape, q, k, v, context);
            if (device.equals(GPU)) {
                assertEquals("ScaledDotProductCudnnAttentionBackward0", name(mixed));
            }
            Tensor weights = heads(4, device, type, batch, tokens, shape.heads(), shape.headDim());
            mixed.mul(weights.detach()).sum().backward();
            return new float[][] {
                Tensors.toFloats(mixed.detach()),
                Tensors.toFloats(q.grad()),
                Tensors.toFloats(k.grad()),
                Tensors.toFloats(v.grad())
            };
        }
    }

    private static String name(Tensor result) {
        try (Node node = Objects.requireNonNull(result.grad_fn());
                BytePointer name = node.name()) {
            return name.getString();
        }
    }
}
