package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuLevel;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Each level of kernels that the machine has, against libtorch's operations. */
class CpuQuantKernelsTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();
    private static final List<ScalarType> TYPES = List.of(ScalarType.Float, ScalarType.BFloat16, ScalarType.Half);
    /** Rows and columns: whole blocks, blocks that cross rows, odd lengths, a last block of one weight. */
    private static final long[][] SHAPES = {
        {64, 128}, {33, 130}, {5, 7}, {1, 1}, {13, 5}, {257, 64}, {128, 320}, {70, 1088}, {3, 4097}
    };

    private final SplittableRandom random = new SplittableRandom(5);
    private final QuantKernels plain = new TorchQuantKernels(CPU);
    private TensorScope scope;

    @BeforeEach
    void open() {
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        scope.close();
    }

    private static QuantKernels kernels(CpuLevel level) {
        return new CpuQuantKernels(Needs.cpuKernels(level));
    }

    private static List<QuantSettings> settings() {
        List<QuantSettings> all = new ArrayList<>();
        for (QuantType type : QuantType.values()) {
            for (int block : new int[] {32, 64, 256, 4096}) {
                all.add(new QuantSettings(type, block, false));
                all.add(new QuantSettings(type, block, true));
            }
        }
        return all;
    }

    private Tensor weight(ScalarType type, long... shape) {
        return Tensors.uniform(CPU, random, 0.1, shape).to(type);
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void codesAndScalesHaveTheSameBytes(CpuLevel level) {
        QuantKernels kernels = kernels(level);
        for (QuantSettings settings : settings()) {
            for (ScalarType type : TYPES) {
                for (long[] shape : SHAPES) {
                    try (TensorScope turn = new TensorScope()) {
                        Tensor dense = weight(type, shape);
                        assertSameParts(dense, settings, kernels);
                        Tensor zeros = dense.clone();
                        zeros.view(-1)
                                .narrow(0, 0, Math.min(200, zeros.numel()))
                                .zero_();
                        assertSameParts(zeros, settings, kernels);
                    }
                }
            }
        }
    }

    private void assertSameParts(Tensor dense, QuantSettings settings, QuantKernels kernels) {
        try (QuantizedTensor expected = plain.quantize(dense, settings);
                QuantizedTensor actual = kernels.quantize(dense, settings)) {
            assertArrayEquals(TensorData.bytes(expected.packed()), TensorData.bytes(actual.packed()));
            expected.toCheckpoint("w")
                    .forEach((name, tensor) -> assertArrayEquals(
                            TensorData.bytes(tensor),
                            TensorData.bytes(actual.toCheckpoint("w").get(name)),
                            name));
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void numbersHaveTheSameBytes(CpuLevel level) {
        QuantKernels kernels = kernels(level);
        for (QuantSettings settings : settings()) {
            for (long[] shape : SHAPES) {
                try (TensorScope turn = new TensorScope();
                        QuantizedTensor weight = kernels.quantize(weight(ScalarType.Float, shape), settings)) {
                    for (ScalarType type :
                            List.of(ScalarType.Float, ScalarType.BFloat16, ScalarType.Half, ScalarType.Double)) {
                        Tensor expected = Tensors.empty(CPU, type, shape);
                        Tensor actual = Tensors.empty(CPU, type, shape);
                        plain.dequantize(weight, expected);
                        kernels.dequantize(weight, actual);
                        assertArrayEquals(
                                TensorData.bytes(expected.view(ScalarType.Byte)),
                                TensorData.bytes(actual.view(ScalarType.Byte)));
                    }
                }
            }
        }
    }

    /** Larger than a cache, so that the numbers go past it; scales so small that numbers are subnormal. */
    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void largeAndTinyWeightsHaveTheSameBytes(CpuLevel level) {
        QuantKernels kernels = kernels(level);
        for (double bound : new double[] {0.1, 3e-38}) {
            try (TensorScope turn = new TensorScope();
                    QuantizedTensor weight =
                            kernels.quantize(Tensors.uniform(CPU, random, bound, 1031, 1024), QuantSettings.nf4())) {
                for (ScalarType type : TYPES) {
                    Tensor expected = Tensors.empty(CPU, type, 1031, 1024);
                    Tensor actual = Tensors.empty(CPU, type, 1031, 1024);
                    plain.dequantize(weight, expected);
                    kernels.dequantize(weight, actual);
                    assertEquals(true, expected.view(ScalarType.Byte).equal(actual.view(ScalarType.Byte)));
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void productsAreThoseOfTheDenseWeight(CpuLevel level) {
        QuantKernels kernels = kernels(level);
        for (QuantSettings settings : List.of(
                QuantSettings.nf4(),
                new QuantSettings(QuantType.FP4, 32, false),
                new QuantSettings(QuantType.NF4, 128, true))) {
            for (long[] shape : SHAPES) {
                try (QuantizedTensor weight = kernels.quantize(weight(ScalarType.Float, shape), settings)) {
                    for (ScalarType type : List.of(ScalarType.Float, ScalarType.BFloat16)) {
                        for (long rows : new long[] {1, 2, 3, 5, 8, 16, 17, 40}) {
                            compare(kernels, weight, type, rows);
                        }
                    }
                }
            }
        }
    }

    /** Rows so long that a panel has the fewest, and so many that there are several panels either way. */
    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void severalPanelsMakeOneProduct(CpuLevel level) {
        QuantKernels kernels = kernels(level);
        for (long[] shape : new long[][] {{200, 9000}, {9000, 200}, {1500, 1500}}) {
            try (QuantizedTensor weight = kernels.quantize(weight(ScalarType.Float, shape), QuantSettings.nf4())) {
                compare(kernels, weight, ScalarType.BFloat16, 33);
                compare(kernels, weight, ScalarType.Float, 33);
                compare(kernels, weight, ScalarType.BFloat16, 3);
            }
        }
    }

    private void compare(QuantKernels kernels, QuantizedTensor weight, ScalarType type, long rows) {
        try (TensorScope turn = new TensorScope()) {
            long out = weight.shape()[0];
            long in = weight.shape()[1];
            Tensor dense = Tensors.empty(CPU, type, out, in);
            plain.dequantize(weight, dense);
            Tensor x = Tensors.uniform(CPU, random, 1, rows, in).to(type);
            Tensor bias = Tensors.uniform(CPU, random, 1, out).to(type);
            Tensor gradient = Tensors.uniform(CPU, random, 1, rows, out).to(type);
            Sums.assertSame(torch.linear(x, dense), kernels.forward(x, weight, null));
            Sums.assertSame(torch.linear(x, dense, new TensorOptional(bias)), kernels.forward(x, weight, bias));
            Sums.assertSame(torch.matmul(gradient, dense), kernels.backward(gradient, weight));
            compareSums(kernels, weight, dense, x, gradient);
        }
    }

    /** Into a column of a wider result, on top of what is there. */
    private void compareSums(QuantKernels kernels, QuantizedTensor weight, Tensor dense, Tensor x, Tensor gradient) {
        ScalarType type = Tensors.typeOf(x);
        long out = dense.size(0);
        Tensor wide = Tensors.uniform(CPU, random, 1, x.size(0), out * 2).to(type);
        Tensor expected = wide.clone();
        expected.narrow(1, 0, out).addmm_(x, dense.t());
        expected.narrow(1, out, out).addmm_(x, dense.t());
        kernels.addForward(wide, x, List.of(weight, weight));
        Sums.assertSame(expected, wide);
        Tensor dx = Tensors.uniform(CPU, random, 1, x.size(0), dense.size(1)).to(type);
        Tensor expectedDx = dx.clone();
        expectedDx.addmm_(gradient, dense);
        kernels.addBackward(dx, gradient, List.of(weight));
        Sums.assertSame(expectedDx, dx);
    }

    /** The numbers of the codes must not belong to the scope in which the first weight is made. */
    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void aWeightOutlivesTheScopeThatItWasMadeIn(CpuLevel level) {
        QuantizedTensor weight;
        try (TensorScope inner = new TensorScope()) {
            weight = kernels(level).quantize(weight(ScalarType.Float, 64, 128), QuantSettings.nf4());
            weight.dequantize(ScalarType.Float);
        }
        try (weight) {
            for (int i = 0; i < 100; i++) {
                Tensors.zeros(CPU, ScalarType.Float, 16);
            }
            compare(weight.kernels(), weight, ScalarType.BFloat16, 3);
            compare(weight.kernels(), weight, ScalarType.BFloat16, 20);
        }
    }

    @Test
    void whatDoesNotFitIsRefusedBeforeMemoryIsTouched() {
        QuantKernels kernels = new CpuQuantKernels(Needs.cpuKernels());
        try (QuantizedTensor weight = kernels.quantize(weight(ScalarType.Float, 8, 64), QuantSettings.nf4())) {
            Tensor small = Tensors.empty(CPU, ScalarType.Float, 8, 63);
            assertThrows(IllegalArgumentException.class, () -> kernels.dequantize(weight, small));
            Tensor apart = Tensors.empty(CPU, ScalarType.Float, 64, 8).t();
            assertThrows(IllegalArgumentException.class, () -> kernels.dequantize(weight, apart));
            Tensor x = Tensors.empty(CPU, ScalarType.Float, 1, 63);
            assertThrows(IllegalArgumentException.class, () -> kernels.forward(x, weight, null));
            Tensor bias = Tensors.empty(CPU, ScalarType.Float, 7);
            Tensor fits = Tensors.empty(CPU, ScalarType.Float, 1, 64);
            assertThrows(IllegalArgumentException.class, () -> kernels.forward(fits, weight, bias));
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void notANumberIsRefused(CpuLevel level) {
        QuantKernels kernels = kernels(level);
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            float[] values = new float[100];
            values[70] = bad;
            Tensor dense = Tensors.ofFloats(CPU, values, 100);
            IllegalArgumentException refused =
                    assertThrows(IllegalArgumentException.class, () -> kernels.quantize(dense, QuantSettings.nf4()));
            assertEquals(true, refused.getMessage().contains("between its elements 64 and 100"), refused.getMessage());
        }
    }
}
