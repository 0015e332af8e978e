package dev.finetune4j.core.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamW8bitState;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWStep;
import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.kernel.OptimizerKernels.LionState;
import dev.finetune4j.core.kernel.OptimizerKernels.LionStep;
import dev.finetune4j.core.kernel.OptimizerKernels.Moments;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestGpu;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** The optimizers of each device against libtorch's operations, which serve everywhere. */
class OptimizerKernelsTest {
    private static final int COUNT = 2000;
    private static final int STEPS = 5;
    /** Betas that float32 holds exactly, as it does what they lack of one: kernels differ by the roundings of a step alone. */
    private static final AdamWStep ADAMW = new AdamWStep(1e-2, 0.1, 0.875, 1 - 1.0 / 1024, 1e-8, 1);

    private static final LionStep LION = new LionStep(1e-2, 0.1, 0.875, 0.96875);
    private static final double ROUNDINGS = 1e-6;
    /** Of 3400 codes of a step, of which one in some ten thousand has a quotient within a rounding of a limit. */
    private static final int NEIGHBOURS = 2;

    @Test
    void theCpuAgreesWithLibtorch() {
        compare(ComputeDevice.cpu());
    }

    @Test
    void theGpuAgreesWithLibtorch() {
        Needs.gpu();
        compare(TestGpu.device());
    }

    /** Each step begins where libtorch's has ended, so that no step is judged by the roundings of those before it. */
    private static void compare(ComputeDevice device) {
        for (double maxNorm : new double[] {0, 1}) {
            try (TensorScope scope = new TensorScope()) {
                Case own = new Case(device);
                Case torch = new Case(ComputeDevice.cpu());
                for (int i = 1; i <= STEPS; i++) {
                    own.beginAs(torch);
                    own.step(DeviceKernels.of(device).optimizer(), i, maxNorm);
                    torch.step(TorchOptimizer.INSTANCE, i, maxNorm);
                    own.assertAgrees(torch);
                }
            }
        }
    }

    @Test
    void aLossOrNormThatIsNotFiniteChangesNothing() {
        changesNothing(ComputeDevice.cpu());
    }

    @Test
    void aLossOrNormThatIsNotFiniteChangesNothingOnAGpu() {
        Needs.gpu();
        changesNothing(TestGpu.device());
    }

    private static void changesNothing(ComputeDevice device) {
        for (OptimizerKernels kernels : List.of(DeviceKernels.of(device).optimizer(), TorchOptimizer.INSTANCE)) {
            for (float[] lossAndNorm : new float[][] {{Float.NaN, 1}, {1, Float.POSITIVE_INFINITY}}) {
                try (TensorScope scope = new TensorScope()) {
                    Case own = new Case(device);
                    own.step(kernels, 1, 1);
                    List<float[]> before = own.all();
                    Tensor gradients = own.numbers(0.2);
                    float[] given = own.numbers(gradients);
                    own.step(
                            kernels,
                            gradients,
                            2,
                            new GradientClip(
                                    Tensors.ofFloats(device, new float[] {lossAndNorm[0]}, 1)
                                            .to(ScalarType.Double),
                                    Tensors.ofFloats(device, new float[] {lossAndNorm[1]}, 1)
                                            .squeeze(),
                                    1));
                    List<float[]> after = own.all();
                    for (int i = 0; i < before.size(); i++) {
                        assertArrayEquals(before.get(i), after.get(i), "tensor " + i);
                    }
                    assertArrayEquals(given, own.numbers(gradients), "gradients");
                }
            }
        }
    }

    /** Values of three parameters, of 1100, 300 and 600 numbers; the second keeps its moments in float32. */
    private static final class Case {
        private final ComputeDevice device;
        private final SplittableRandom random = new SplittableRandom(3);
        private final Tensor coded;
        private final Tensor copies;
        private final Tensor lion;
        private final Tensor lionCopies;
        private final Tensor mean;
        private final Moments moments;

        Case(ComputeDevice device) {
            this.device = device;
            coded = numbers(1);
            copies = coded.to(ScalarType.BFloat16);
            lion = numbers(1);
            lionCopies = lion.to(ScalarType.BFloat16);
            mean = torch.zeros_like(lion);
            long[] blocks = {
                0, 0, 256, 256, 1, 256, 512, 2, 256, 768, 3, 256, 1024, 4, 76, //
                1100, -1, 256, 1356, -257, 44, //
                1400, 5, 256, 1656, 6, 256, 1912, 7, 88
            };
            float[] maps = new float[512];
            float[] limits = new float[510];
            for (int i = 0; i < 256; i++) {
                maps[i] = (i - 127) / 128f;
                maps[256 + i] = i / 255f;
                if (i < 255) {
                    limits[i] = (i - 126.5f) / 128f;
                    limits[255 + i] = (i + 0.5f) / 255f;
                }
            }
            moments = new Moments(
                    Tensors.ofLongs(device, blocks, 10, 3),
                    Tensors.zeros(device, ScalarType.Byte, 2, 8, 256),
                    Tensors.zeros(device, ScalarType.Float, 2, 8),
                    Tensors.zeros(device, ScalarType.Float, 2, 300),
                    Tensors.ofFloats(device, maps, 2, 256),
                    Tensors.ofFloats(device, limits, 2, 255));
        }

        private Tensor numbers(double size) {
            float[] values = new float[COUNT];
            for (int i = 0; i < COUNT; i++) {
                values[i] = (float) (size * (random.nextDouble() * 2 - 1));
            }
            return Tensors.ofFloats(device, values, COUNT);
        }

        void step(OptimizerKernels kernels, int number, double maxNorm) {
            Tensor gradients = numbers(0.2);
            GradientClip clip = new GradientClip(
                    Tensors.zeros(device, ScalarType.Double, 1), torch.linalg_vector_norm(gradients), maxNorm);
            step(kernels, gradients, number, clip);
            TensorData.assertClose("gradients", new float[COUNT], numbers(gradients), 0);
        }

        void step(OptimizerKernels kernels, Tensor gradients, int number, GradientClip clip) {
            Tensor others = gradients.clone();
            kernels.adamw8bit(
                    new AdamW8bitState(coded, gradients, copies, moments),
                    new AdamWStep(
                            ADAMW.learningRate(),
                            ADAMW.weightDecay(),
                            ADAMW.beta1(),
                            ADAMW.beta2(),
                            ADAMW.epsilon(),
                            number),
                    clip);
            kernels.lion(new LionState(lion, others, lionCopies, mean), LION, clip);
            assertArrayEquals(numbers(gradients), numbers(others), "gradients");
        }

        private List<Tensor> tensors() {
            return List.of(coded, copies, lion, lionCopies, mean, moments.codes(), moments.absmax(), moments.wide());
        }

        List<float[]> all() {
            return tensors().stream().map(this::numbers).toList();
        }

        void beginAs(Case other) {
            for (int i = 0; i < tensors().size(); i++) {
                tensors().get(i).copy_(other.tensors().get(i));
            }
        }

        void assertAgrees(Case expected) {
            assertClose("8-bit", expected.coded, coded);
            assertClose("Lion", expected.lion, lion);
            assertClose("Lion's mean", expected.mean, mean);
            for (int moment = 0; moment < 2; moment++) {
                assertClose(
                        "scales",
                        expected.moments.absmax().select(0, moment),
                        moments.absmax().select(0, moment));
                assertClose(
                        "wide",
                        expected.moments.wide().select(0, moment),
                        moments.wide().select(0, moment));
            }
            assertArrayEquals(numbers(coded.to(ScalarType.BFloat16)), numbers(copies), "the copies are its values");
            assertArrayEquals(
                    numbers(lion.to(ScalarType.BFloat16)), numbers(lionCopies), "the copies are Lion's values");
            float[] wanted = numbers(expected.moments.codes());
            float[] codes = numbers(moments.codes());
            int neighbours = 0;
            for (int i = 0; i < codes.length; i++) {
                assertTrue(Math.abs(codes[i] - wanted[i]) <= 1, "code " + codes[i] + " instead of " + wanted[i]);
                neighbours += codes[i] == wanted[i] ? 0 : 1;
            }
            assertTrue(neighbours <= NEIGHBOURS, neighbours + " codes are neighbours of the expected ones");
        }

        private void assertClose(String what, Tensor expected, Tensor actual) {
            TensorData.assertClose(what, numbers(expected), numbers(actual), ROUNDINGS);
        }

        float[] numbers(Tensor tensor) {
            return Tensors.toFloats(tensor.to(ScalarType.Float).cpu());
        }
    }
}
