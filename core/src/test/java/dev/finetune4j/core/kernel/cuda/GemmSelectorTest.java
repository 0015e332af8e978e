package dev.finetune4j.core.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.DenseMatmul;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Products by chosen kernels against float32 ones. */
class GemmSelectorTest {
    private static final ComputeDevice GPU = TestGpu.device();

    @BeforeEach
    void needGpu() {
        Needs.gpu();
    }

    private static Tensor normal(double deviation, long... shape) {
        return Tensors.empty(GPU, ScalarType.BFloat16, shape).normal_(0, deviation, new GeneratorOptional());
    }

    private static Tensor wide(Tensor x) {
        return x.to(ScalarType.Float);
    }

    private static void assertClose(Tensor expected, Tensor actual) {
        double error = wide(actual).sub(expected).abs().max().item_double()
                / expected.abs().max().item_double();
        assertTrue(error < 1e-2, "relative error " + error);
    }

    @ParameterizedTest
    @CsvSource({"4096, 4096, 2048", "11008, 4096, 1000", "4104, 3000, 4096", "2048, 11008, 1037", "4096, 11008, 64"})
    void haveTheNumbersOfThePlainOnes(long out, long in, long rows) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor weight = normal(0.02, out, in);
            Tensor x = normal(1, rows, in);
            // Columns of a wider matrix, as the outputs of several linears lie.
            Tensor y = normal(1, rows, out + 64).narrow(1, 32, out);
            Tensor product = torch.matmul(wide(x), wide(weight).t());
            Tensor before = y.clone();
            assertTrue(GemmSelector.multiply(y, x, weight, true, true), "supported");
            assertClose(wide(before).add(product), y);
            assertTrue(GemmSelector.multiply(y, x, weight, true, false), "supported");
            assertClose(product, y);

            Tensor gradient = normal(1, rows, out + 8).narrow(1, 8, out);
            Tensor dx = normal(1, rows, in);
            Tensor beforeDx = dx.clone();
            Tensor back = torch.matmul(wide(gradient), wide(weight));
            assertTrue(GemmSelector.multiply(dx, gradient, weight, false, true), "supported");
            assertClose(wide(beforeDx).add(back), dx);
            assertClose(
                    back,
                    new DenseMatmul(weight)
                            .backward(gradient.view(1, rows, out))
                            .view(rows, in));
            assertClose(
                    product,
                    new DenseMatmul(weight).forward(x.view(1, rows, in), null).view(rows, out));
        }
    }

    @Test
    void whatIsSmallOrOfAnotherKindIsLeft() {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor weight = normal(0.02, 4096, 4096);
            Tensor x = normal(1, 16, 4096);
            Tensor y = normal(1, 16, 4096);
            Tensor before = y.clone();
            assertFalse(GemmSelector.multiply(y, x, weight, true, false), "small");
            assertEquals(0, y.sub(before).abs().max().item_double());
            Tensor wideX = Tensors.empty(GPU, ScalarType.Float, 4096, 4096);
            assertFalse(GemmSelector.multiply(wideX, wideX, wideX, true, false), "float32");
            Tensor odd = normal(1, 4096, 4097).narrow(1, 0, 4096);
            assertFalse(GemmSelector.multiply(odd, odd, weight, true, false), "rows are not aligned");
        }
    }

    @Test
    void aCapturedProductIsTheChosenOne() {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                CudaStream stream = CudaStream.open(GPU);
                CudaGraph.Memory memory = new CudaGraph.Memory()) {
            Tensor weight = normal(0.02, 4096, 4096);
            Tensor x = normal(1, 3000, 4096);
            Tensor y = normal(1, 3000, 4096);
            assertTrue(GemmSelector.multiply(y, x, weight, true, false));
            Tensor first = y.clone();
            y.zero_();
            try (CudaGraph graph = CudaGraph.capture(
                    stream, memory, () -> assertTrue(GemmSelector.multiply(y, x, weight, true, false)))) {
                graph.launch();
                stream.synchronize();
                assertEquals(0, y.sub(first).abs().max().item_double());
            }
        }
    }
}
