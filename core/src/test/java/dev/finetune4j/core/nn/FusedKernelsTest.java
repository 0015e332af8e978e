package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.LossKernels;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.SplittableRandom;
import java.util.function.BiFunction;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The fused kernels of the GPU against the plain operations on the CPU: values and gradients. */
class FusedKernelsTest {
    private static final ComputeDevice GPU = TestGpu.device();

    @BeforeEach
    void needGpu() {
        Needs.gpu();
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

    /** Equal but for the last digit: the compiler may contract other products and sums than in the forward pass. */
    private static void assertClose(float[] expected, float[] actual, ScalarType type) {
        double digit = type == ScalarType.Float ? 2e-6 : 8e-3;
        assertEquals(expected.length, actual.length);
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], actual[i], 1e-7 + digit * Math.abs(expected[i]), "element " + i);
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
    void rmsNorm(int rows, int width, ScalarType type, boolean unitOffset) {
        compare(new long[] {1, rows, width}, type, (x, device) -> {
            RmsNorm norm = new RmsNorm(weight(width, device, Tensors.typeOf(x)), 1e-6, unitOffset);
            return norm.forward(x);
        });
    }

    @ParameterizedTest
    @CsvSource({
        "SILU, 7, 16, Float",
        "SILU, 33, 11008, Float",
        "SILU, 5, 4864, BFloat16",
        "SILU, 1, 8, BFloat16",
        "GELU, 7, 16, Float",
        "GELU, 5, 4864, BFloat16",
        "GELU_TANH, 33, 6912, Float",
        "GELU_TANH, 5, 16384, BFloat16",
        "GELU_TANH, 1, 8, Float"
    })
    void gated(Activation activation, int rows, int width, ScalarType type) {
        compare(new long[] {1, rows, 2L * width}, type, (x, device) -> {
            if (!x.is_cuda()) {
                return activation.apply(x.narrow(-1, 0, width)).mul(x.narrow(-1, width, width));
            }
            HiddenStates gated = ((FusedKernels) LayerKernels.of(x)).gated(activation, x);
            float[] values = Tensors.toFloats(gated.tensor());
            gated.recomputation().then(again -> assertClose(values, Tensors.toFloats(again), type));
            return gated.tensor();
        });
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

    /** Rows of heads behind one another, of which the last are not turned, as values are. */
    @ParameterizedTest
    @CsvSource({"2, 5, 3, 64, Float", "1, 33, 4, 128, Float", "2, 17, 2, 128, BFloat16", "1, 3, 1, 16, Float"})
    void rotationInPlace(int batch, int tokens, int heads, int size, ScalarType type) {
        RopeSpec spec = new RopeSpec(10_000, size, new RopeScaling.None());
        compare(new long[] {batch, tokens, (heads + 2L) * size}, type, (x, device) -> {
            try (RotaryEmbedding rotary = new RotaryEmbedding(spec, device)) {
                RotaryEmbedding.Angles angles = rotary.angles(2, tokens, Tensors.typeOf(x));
                if (x.is_cuda()) {
                    return ((FusedKernels) LayerKernels.of(x)).ropeInPlace(x, heads, angles);
                }
                Tensor turned = x.narrow(2, 0, (long) heads * size)
                        .view(batch, tokens, heads, size)
                        .transpose(1, 2);
                turned = RotaryEmbedding.rotate(turned, angles).transpose(1, 2).reshape(batch, tokens, -1);
                return torch.cat(new TensorVector(turned, x.narrow(2, (long) heads * size, 2L * size)), 2);
            }
        });
    }

    /** The gradient that goes around a branch is added in its norm. */
    @ParameterizedTest
    @CsvSource({"7, 64, Float", "5, 4096, BFloat16"})
    void branch(int rows, int width, ScalarType type) {
        compare(new long[] {1, rows, width}, type, (x, device) -> {
            RmsNorm norm = new RmsNorm(weight(width, device, Tensors.typeOf(x)), 1e-6, false);
            if (!x.is_cuda()) {
                return x.add(torch.silu(norm.forward(x)));
            }
            ResidualStream stream = new ResidualStream(x);
            HiddenStates normed = stream.normed(norm);
            float[] values = Tensors.toFloats(normed.tensor());
            normed.recomputation().then(again -> assertClose(values, Tensors.toFloats(again), type));
            stream.add(torch.silu(normed.tensor()));
            return stream.value();
        });
    }

    /** A sum and its norm in one kernel: values and gradients of both, also where x needs no gradient. */
    @ParameterizedTest
    @CsvSource({"7, 64, Float, true", "5, 4096, BFloat16, true", "3, 896, Float, false", "1, 8, Float, true"})
    void sumAndNorm(int rows, int width, ScalarType type, boolean trained) {
        compare(new long[] {1, rows, width}, type, (x, device) -> {
            RmsNorm first = new RmsNorm(weight(width, device, Tensors.typeOf(x)), 1e-6, false);
            RmsNorm second = new RmsNorm(weight(width, device, Tensors.typeOf(x)), 1e-6, false);
            Tensor start = trained ? x : x.detach();
            if (!x.is_cuda()) {
                Tensor sum = start.add(torch.silu(trained ? first.forward(start) : x));
                return sum.add(torch.silu(second.forward(sum)));
            }
            ResidualStream stream = new ResidualStream(start);
            stream.add(torch.silu(trained ? stream.normed(first).tensor() : x));
            HiddenStates normed = stream.normed(second);
            float[] values = Tensors.toFloats(normed.tensor());
            normed.recomputation().then(again -> assertClose(values, Tensors.toFloats(again), type));
            stream.add(torch.silu(normed.tensor()));
            return stream.value();
        });
    }

    @ParameterizedTest
    @CsvSource({
        "5, 64000, 0, Float",
        "3, 1001, 0, Float",
        "7, 32003, 0, BFloat16",
        "2, 64000, 0, BFloat16",
        "4, 3, 0, Float",
        "3, 64000, 4, Float",
        "2, 1001, 2, BFloat16"
    })
    void crossEntropy(int rows, int width, double cap, ScalarType type) {
        try (TensorScope scope = new TensorScope()) {
            Tensor logits = Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(3), 3, rows, width)
                    .to(type)
                    .to(ScalarType.Float)
                    .set_requires_grad(true);
            long[] labels = new SplittableRandom(5).longs(rows, 0, width).toArray();
            labels[1] = Labels.IGNORE;
            Tensor capped =
                    cap == 0 ? logits : logits.div(new Scalar(cap)).tanh().mul(new Scalar(cap));
            Tensor expected = torch.cross_entropy_loss(
                    capped, Tensors.ofLongs(ComputeDevice.cpu(), labels, rows), new TensorOptional(), 2, -100, 0.0);
            expected.mul(new Scalar(0.25)).backward();
            Tensor values = Tensors.convert(logits.detach(), GPU, type).set_requires_grad(true);
            Tensor loss = DeviceKernels.of(GPU)
                    .loss()
                    .crossEntropyAndBackward(
                            values,
                            Tensors.ofLongs(GPU, labels, rows),
                            Tensors.ofFloats(GPU, new float[] {0.25f}, 1),
                            cap);
            double tolerance = type == ScalarType.Float ? 3e-6 : 8e-3;
            Tensor again = Tensors.convert(logits.detach(), GPU, type);
            Tensor alone = DeviceKernels.of(GPU).loss().crossEntropy(again, Tensors.ofLongs(GPU, labels, rows), cap);
            assertArrayEquals(Tensors.toFloats(loss), Tensors.toFloats(alone));
            assertEquals(expected.item_double(), loss.sum().item_double(), 2e-6 * expected.item_double());
            float[] wanted = Tensors.toFloats(logits.grad());
            float[] actual = Tensors.toFloats(values.grad());
            for (int i = 0; i < wanted.length; i++) {
                assertEquals(wanted[i], actual[i], tolerance * (Math.abs(wanted[i]) + 0.1), "element " + i);
            }
        }
    }

    /** The gradient of a row that counts twice is twice as large, and so is its loss. */
    @ParameterizedTest
    @CsvSource({"0, Float", "4, Float", "0, BFloat16"})
    void rowsMayCountDifferently(double cap, ScalarType type) {
        float[] weights = {2, 0.5f, 1, 0, 0.25f};
        int width = 1001;
        try (TensorScope scope = new TensorScope()) {
            Tensor start = Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(3), 3, weights.length, width);
            Tensor labels = Tensors.ofLongs(
                    GPU, new SplittableRandom(5).longs(weights.length, 0, width).toArray(), 5);
            Tensor scale = Tensors.ofFloats(GPU, new float[] {0.25f}, 1);
            LossKernels kernels = DeviceKernels.of(GPU).loss();
            Tensor alike = Tensors.convert(start, GPU, type).set_requires_grad(true);
            float[] losses = Tensors.toFloats(kernels.crossEntropyAndBackward(alike, labels, scale, cap));
            Tensor counted = Tensors.convert(start, GPU, type).set_requires_grad(true);
            float[] found = Tensors.toFloats(kernels.crossEntropyAndBackward(
                    counted, labels, Tensors.ofFloats(GPU, weights, weights.length), scale, cap));
            float[] before = Tensors.toFloats(alike.grad());
            float[] after = Tensors.toFloats(counted.grad());
            for (int i = 0; i < after.length; i++) {
                // All weights are powers of two, which round nothing.
                assertEquals(before[i] * weights[i / width], after[i], "element " + i);
            }
            for (int i = 0; i < losses.length; i++) {
                assertEquals(losses[i] * weights[i], found[i]);
            }
        }
    }

    @Test
    void aLabelOfNoColumnIsNoNumber() {
        try (TensorScope scope = new TensorScope()) {
            Tensor scale = Tensors.ofFloats(GPU, new float[] {1}, 1);
            LossKernels kernels = DeviceKernels.of(GPU).loss();
            Tensor logits = Tensors.ones(GPU, ScalarType.Float, 2, 8).set_requires_grad(true);
            Tensor none = kernels.crossEntropyAndBackward(logits, Tensors.ofLongs(GPU, new long[] {8, 7}, 2), scale, 0);
            assertTrue(Double.isNaN(none.sum().item_double()));
            Tensor others = Tensors.ones(GPU, ScalarType.Float, 2, 8).set_requires_grad(true);
            Tensor both = kernels.crossEntropyAndBackward(others, Tensors.ofLongs(GPU, new long[] {6, 7}, 2), scale, 0);
            assertEquals(2 * Math.log(8), both.sum().item_double(), 1e-6);
        }
    }

    @Test
    void whatIsKeptIsFreedByTheBackwardPass() {
        for (int i = 0; i < 4; i++) {
            long before = CudaMemory.of(GPU).allocated();
            try (TensorScope scope = TensorScope.forStep()) {
                RmsNorm norm = new RmsNorm(weight(4096, GPU, ScalarType.BFloat16), 1e-6, false);
                Tensor x = Tensors.ones(GPU, ScalarType.BFloat16, 1, 64, 4096).set_requires_grad(true);
                try (TensorScope inner = new TensorScope()) {
                    norm.forward(x.mul(Tensors.ones(GPU, ScalarType.BFloat16, 1)))
                            .sum()
                            .backward();
                }
                // x, its gradient and the result that was handed over last; what the norm kept would be as much again.
                long left = CudaMemory.of(GPU).allocated() - before;
                // The first turn compiles and keeps what stays.
                assertTrue(i == 0 || left < 3.5 * x.nbytes(), "turn " + i + ": " + left + " of " + x.nbytes());
            }
        }
    }
}
