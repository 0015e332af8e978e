package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.finetune4j.core.cuda.CudaMemory;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.util.SplittableRandom;
import java.util.function.BiFunction;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The fused kernels of the GPU against the plain operations on the CPU: values and gradients. */
class FusedKernelsTest {
    private static final ComputeDevice GPU = ComputeDevice.cuda(0);

    @BeforeEach
    void needGpu() {
        assumeTrue(TorchRuntime.cudaDevices() > 0, "there is no CUDA GPU here");
    }

    /** Runs a function on both devices, the gradient of its weighted sum too, and compares. */
    private static void compare(long[] shape, ScalarType type, BiFunction<Tensor, ComputeDevice, Tensor> function) {
        double tolerance = type == ScalarType.Float ? 2e-6 : 2e-2;
        float[][] expected = run(shape, ScalarType.Float, type, ComputeDevice.cpu(), function);
        float[][] actual = run(shape, type, type, GPU, function);
        for (int i = 0; i < 2; i++) {
            double size = 0;
            double difference = 0;
            assertEquals(expected[i].length, actual[i].length);
            for (int k = 0; k < expected[i].length; k++) {
                size = Math.max(size, Math.abs(expected[i][k]));
                difference = Math.max(difference, Math.abs(expected[i][k] - actual[i][k]));
            }
            assertTrue(difference <= tolerance * size, (i == 0 ? "values: " : "gradients: ") + difference / size);
        }
    }

    private static float[][] run(
            long[] shape,
            ScalarType type,
            ScalarType rounded,
            ComputeDevice device,
            BiFunction<Tensor, ComputeDevice, Tensor> function) {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor x = Tensors.convert(
                            Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(3), 1, shape)
                                    .to(rounded),
                            device,
                            type)
                    .set_requires_grad(true);
            Tensor y = function.apply(x.mul(Tensors.ones(device, type, 1)), device);
            float[] values = Tensors.toFloats(y);
            Tensor weights = Tensors.convert(
                    Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(4), 1, y.shape()), device, type);
            y.mul(weights).sum().backward();
            return new float[][] {values, Tensors.toFloats(x.grad())};
        }
    }

    private static Tensor weight(int width, ComputeDevice device, ScalarType type) {
        return Tensors.convert(
                Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(5), 0.5, width)
                        .to(ScalarType.BFloat16),
                device,
                type);
    }

    @ParameterizedTest
    @CsvSource({
        "7, 64, Float, false",
        "3, 4096, Float, true",
        "5, 4096, BFloat16, false",
        "9, 896, BFloat16, true",
        "1, 8, Float, false"
    })
    void rmsNorm(int rows, int width, ScalarType type, boolean fromOne) {
        compare(new long[] {1, rows, width}, type, (x, device) -> {
            RmsNorm norm = new RmsNorm(weight(width, device, Tensors.typeOf(x)), 1e-6, fromOne);
            return norm.forward(x);
        });
    }

    @ParameterizedTest
    @CsvSource({"7, 16, Float", "33, 11008, Float", "5, 4864, BFloat16", "1, 8, BFloat16"})
    void swiglu(int rows, int width, ScalarType type) {
        compare(
                new long[] {1, rows, 2L * width},
                type,
                (x, device) -> FusedKernels.serveSwiglu(x)
                        ? FusedKernels.swiglu(x).tensor()
                        : torch.silu(x.narrow(-1, 0, width)).mul(x.narrow(-1, width, width)));
    }

    @ParameterizedTest
    @CsvSource({"2, 5, 3, 64, Float", "1, 33, 4, 128, Float", "2, 17, 2, 128, BFloat16", "1, 3, 1, 16, Float"})
    void rotation(int batch, int tokens, int heads, int size, ScalarType type) {
        RopeSpec spec = new RopeSpec(10_000, size, new RopeScaling.None());
        compare(new long[] {batch, tokens, heads, size}, type, (x, device) -> {
            try (RotaryEmbedding rotary = new RotaryEmbedding(spec, device)) {
                RotaryEmbedding.Angles angles = rotary.angles(2, tokens, Tensors.typeOf(x));
                return RotaryEmbedding.rotate(x.transpose(1, 2), angles);
            }
        });
    }

    @Test
    void whatIsKeptIsFreedByTheBackwardPass() {
        for (int i = 0; i < 4; i++) {
            long before = CudaMemory.of(GPU).allocated();
            run(
                    new long[] {1, 64, 4096},
                    ScalarType.BFloat16,
                    ScalarType.BFloat16,
                    GPU,
                    (x, device) -> new RmsNorm(weight(4096, device, Tensors.typeOf(x)), 1e-6, false).forward(x));
            // The first turn compiles and keeps what stays.
            assertTrue(i == 0 || CudaMemory.of(GPU).allocated() <= before, "turn " + i);
        }
    }
}
