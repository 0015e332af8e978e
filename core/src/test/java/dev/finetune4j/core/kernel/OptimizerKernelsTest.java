package dev.finetune4j.core.kernel;

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
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** The optimizers of each device against libtorch's operations, which serve everywhere. */
class OptimizerKernelsTest {
    private static final int COUNT = 2000;
    private static final int STEPS = 5;

    @Test
    void theCpuAgreesWithLibtorch() {
        compare(ComputeDevice.cpu());
    }

    @Test
    void theGpuAgreesWithLibtorch() {
        Needs.gpu();
        compare(ComputeDevice.cuda(0));
    }

    private static void compare(ComputeDevice device) {
        for (double maxNorm : new double[] {0, 1}) {
            try (TensorScope scope = new TensorScope()) {
                Case own = new Case(device);
                Case torch = new Case(ComputeDevice.cpu());
                for (int i = 1; i <= STEPS; i++) {
                    own.step(DeviceKernels.of(device).optimizer(), i, maxNorm);
                    torch.step(TorchOptimizer.INSTANCE, i, maxNorm);
                }
                // A code of a quotient within a rounding of a limit may be its neighbour, and the next steps begin
                // there.
                TensorData.assertClose("8-bit", torch.numbers(torch.coded), own.numbers(own.coded), 1e-4);
                TensorData.assertClose("its copies", torch.numbers(torch.copies), own.numbers(own.copies), 1e-2);
                TensorData.assertClose("Lion", torch.numbers(torch.lion), own.numbers(own.lion), 1e-5);
                TensorData.assertClose(
                        "scales", torch.numbers(torch.moments.absmax()), own.numbers(own.moments.absmax()), 1e-4);
                TensorData.assertClose(
                        "wide", torch.numbers(torch.moments.wide()), own.numbers(own.moments.wide()), 1e-5);
                TensorData.assertClose(
                        "codes", torch.numbers(torch.moments.codes()), own.numbers(own.moments.codes()), 1.1 / 255);
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
            Tensor others = gradients.clone();
            kernels.adamw8bit(
                    new AdamW8bitState(coded, gradients, copies, moments),
                    new AdamWStep(1e-2, 0.1, 0.9, 0.999, 1e-8, number),
                    clip);
            kernels.lion(new LionState(lion, others, lionCopies, mean), new LionStep(1e-2, 0.1, 0.9, 0.99), clip);
            TensorData.assertClose("gradients", new float[COUNT], numbers(gradients), 0);
            TensorData.assertClose("gradients", new float[COUNT], numbers(others), 0);
        }

        float[] numbers(Tensor tensor) {
            return Tensors.toFloats(tensor.to(ScalarType.Float).cpu());
        }
    }
}
