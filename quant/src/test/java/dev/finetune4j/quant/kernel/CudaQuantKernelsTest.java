package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The kernels of the GPU against the libtorch operations on the CPU, byte for byte. */
class CudaQuantKernelsTest {
    private TensorScope scope;

    @BeforeEach
    void open() {
        Needs.gpu();
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        if (scope != null) {
            scope.close();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "NF4, 64, true, 4096, 4096, BFloat16", "NF4, 64, true, 33, 130, BFloat16", "NF4, 64, false, 1, 1, Float",
        "FP4, 64, true, 96, 160, Half", "NF4, 32, true, 1, 1025, BFloat16", "FP4, 4096, false, 1, 4097, Float",
        "NF4, 128, true, 11, 4099, Half", "FP4, 2048, true, 600, 1000, BFloat16", "NF4, 256, false, 7, 9, Float",
        "NF4, 64, true, 1100, 1001, BFloat16"
    })
    void hasTheBytesOfTheCpu(QuantType type, int block, boolean nested, int rows, int columns, ScalarType stored) {
        QuantSettings settings = new QuantSettings(type, block, nested);
        // Few digits, so that the fast reciprocal is exact on both sides also in float32.
        Tensor dense = Tensors.normal(
                        ComputeDevice.cpu(), new SplittableRandom(rows * 31L + columns), 0.05, rows, columns)
                .to(ScalarType.BFloat16)
                .to(stored);
        try (QuantizedTensor expected = QuantizedTensor.quantize(dense, settings);
                QuantizedTensor actual =
                        QuantizedTensor.quantize(dense.to(Tensors.handleOf(TestGpu.device()), stored), settings)) {
            assertArrayEquals(TensorData.bytes(expected.packed()), TensorData.bytes(actual.packed()), "codes");
            if (expected.scales() instanceof BlockScales.Nested one
                    && actual.scales() instanceof BlockScales.Nested two) {
                assertEquals(one.offset(), two.offset());
                assertArrayEquals(TensorData.bytes(one.codes()), TensorData.bytes(two.codes()), "codes of the scales");
                assertArrayEquals(
                        TensorData.bytes(one.absmax()), TensorData.bytes(two.absmax()), "scales of the scales");
            } else if (expected.scales() instanceof BlockScales.Plain one
                    && actual.scales() instanceof BlockScales.Plain two) {
                assertArrayEquals(TensorData.bytes(one.absmax()), TensorData.bytes(two.absmax()), "scales");
            } else {
                throw new AssertionError("the scales are of two kinds");
            }
            for (ScalarType out : new ScalarType[] {ScalarType.Float, ScalarType.BFloat16, ScalarType.Half}) {
                assertArrayEquals(
                        TensorData.bytes(expected.dequantize(out)),
                        TensorData.bytes(actual.dequantize(out)),
                        "dense " + out);
            }
        }
    }

    /** Weights of one input are made dense together: by the unit vectors a product shows them, number by number. */
    @ParameterizedTest
    @CsvSource({
        "NF4, 64, true, 4096, 512, 512",
        "NF4, 64, true, 33, 7, 0",
        "FP4, 128, false, 5, 1, 3",
        "NF4, 64, true, 40, 0, 0"
    })
    void weightsOfOneInputAreThoseOfEachAlone(
            QuantType type, int block, boolean nested, int first, int second, int third) {
        ComputeDevice gpu = TestGpu.device();
        QuantSettings settings = new QuantSettings(type, block, nested);
        int in = 160;
        List<QuantizedTensor> weights = new ArrayList<>();
        for (int rows : new int[] {first, second, third}) {
            if (rows > 0) {
                Tensor dense = Tensors.normal(gpu, new SplittableRandom(rows), 0.05, rows, in);
                weights.add(QuantizedTensor.quantize(dense, settings));
            }
        }
        for (ScalarType format : new ScalarType[] {ScalarType.BFloat16, ScalarType.Float}) {
            Tensor y = Tensors.zeros(gpu, format, in, first + second + third);
            Tensor units = torch.diag(Tensors.ones(gpu, ScalarType.Float, in)).to(format);
            CudaQuantKernels.of(gpu).addForward(y, units, weights);
            Tensor expected = torch.cat(
                    new TensorVector(weights.stream()
                            .map(weight -> weight.dequantize(format))
                            .toArray(Tensor[]::new)),
                    0);
            assertTrue(expected.t().equal(y), format.toString());
        }
        weights.forEach(QuantizedTensor::close);
    }

    @Test
    void aBlockOfZerosAndTinyNumbersIsZero() {
        float[] values = new float[192];
        values[70] = 1e-40f;
        values[130] = 3f;
        Tensor dense = Tensors.ofFloats(TestGpu.device(), values, 3, 64);
        try (QuantizedTensor weight = QuantizedTensor.quantize(dense, new QuantSettings(QuantType.NF4, 64, false))) {
            float[] back = Tensors.toFloats(weight.dequantize(ScalarType.Float));
            assertEquals(0, back[70], 0.0f);
            assertEquals(3, back[130], 0.0f);
            byte[] packed = TensorData.bytes(weight.packed());
            assertEquals(0, packed[0]);
            assertEquals(0, packed[40]);
        }
    }

    @Test
    void aNumberThatIsNotFiniteIsRefused() {
        float[] values = new float[256];
        values[200] = Float.NaN;
        Tensor dense = Tensors.ofFloats(TestGpu.device(), values, 4, 64);
        IllegalArgumentException refused = assertThrows(
                IllegalArgumentException.class, () -> QuantizedTensor.quantize(dense, QuantSettings.nf4()));
        assertTrue(refused.getMessage().contains("between its elements 192 and 256"), refused.getMessage());
    }
}
