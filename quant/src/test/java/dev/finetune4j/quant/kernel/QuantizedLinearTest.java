package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.testsupport.TensorData;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@EveryLevel
class QuantizedLinearTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();

    private TensorScope scope;
    private final SplittableRandom random = new SplittableRandom(11);

    @BeforeEach
    void open() {
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        scope.close();
    }

    @ParameterizedTest
    @CsvSource({
        "NF4, 33, 130, Float, true",
        "NF4, 192, 512, Float, false",
        "FP4, 5, 7, Float, true",
        "NF4, 64, 64, BFloat16, true",
        "FP4, 31, 129, BFloat16, false"
    })
    void gradientIsThatOfTheDenseWeight(QuantType type, int out, int in, ScalarType precision, boolean withBias) {
        Tensor bias = withBias ? scope.release(random(1, out)) : null;
        try (QuantizedLinear linear = linear(type, out, in, bias)) {
            Tensor dense = linear.denseWeight().to(precision);
            Tensor x = random(1, 2, 3, in).to(precision).set_requires_grad(true);
            Tensor twin = x.detach().clone().set_requires_grad(true);
            Tensor pull = random(1, 2, 3, out).to(precision);
            Tensor y = linear.forward(x);
            Tensor expected = bias == null
                    ? torch.linear(twin, dense)
                    : torch.linear(twin, dense, new TensorOptional(bias.to(precision)));
            assertEquals(precision, y.scalar_type().intern());
            Sums.assertSame(expected, y);
            y.mul(pull).sum().backward();
            expected.mul(pull).sum().backward();
            Sums.assertSame(twin.grad(), x.grad());
        }
    }

    @Test
    void aVectorAndNoGradientWorkWithoutRecording() {
        try (QuantizedLinear linear = linear(QuantType.NF4, 6, 10, null)) {
            Tensor y = linear.forward(random(1, 10));
            assertArrayEquals(new long[] {6}, y.shape());
            assertEquals(false, y.requires_grad());
            assertTrue(linear.parameters().isEmpty());
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        QuantizedLinear linear = linear(QuantType.NF4, 6, 10, null);
        Tensor x = random(1, 2, 11);
        assertThrows(IllegalArgumentException.class, () -> linear.forward(x));
        linear.close();
        linear.close();
        Tensor fits = random(1, 2, 10);
        assertThrows(IllegalStateException.class, () -> linear.forward(fits));
        QuantizedTensor vector = QuantizedTensor.quantize(random(1, 10), QuantSettings.nf4());
        assertThrows(IllegalArgumentException.class, () -> new QuantizedLinear(vector, null));
    }

    @Test
    void memoryStaysFlat() {
        try (QuantizedLinear linear = linear(QuantType.NF4, 256, 300, null)) {
            long settled = 0;
            for (int call = 0; call < 2_400; call++) {
                if (call == 400) {
                    System.gc();
                    settled = TorchRuntime.residentBytes();
                }
                try (TensorScope step = new TensorScope()) {
                    Tensor x = random(1, 4, 300).set_requires_grad(true);
                    linear.forward(x).sum().backward();
                    assertEquals(true, x.grad().defined());
                }
                if (call % 200 == 0) {
                    System.gc();
                }
            }
            System.gc();
            long grown = TorchRuntime.residentBytes() - settled;
            // One dense weight is 300 KiB: had each call kept one, it would be 600 MiB.
            assertTrue(grown < 48L << 20, () -> "grew by " + grown + " bytes in 2,000 calls");
        }
    }

    @ParameterizedTest
    @CsvSource({"Float", "BFloat16", "Half"})
    void factoryQuantizesFromTheStoredType(ScalarType stored) {
        Tensor weight = random(0.05, 12, 70).to(stored);
        StoredTensors file = new StoredTensors().put("a.q_proj.weight", weight).put("a.q_proj.bias", random(1, 12));
        QuantizedLinearFactory factory = new QuantizedLinearFactory(QuantSettings.nf4());
        LinearSpec spec = new LinearSpec("a.q_proj", 70, 12, true, false);
        assertEquals(false, factory.readsPacked(spec, file));
        try (Linear made = factory.create(spec, file, new Placement(CPU, Precision.BF16));
                QuantizedTensor direct = QuantizedTensor.quantize(weight, QuantSettings.nf4())) {
            QuantizedTensor inside =
                    assertInstanceOf(QuantizedLinear.class, made).weight();
            assertArrayEquals(TensorData.bytes(direct.packed()), TensorData.bytes(inside.packed()));
            assertEquals(stored, inside.dtype());
            Tensor y = made.forward(random(1, 70).to(ScalarType.BFloat16));
            assertEquals(ScalarType.BFloat16, y.scalar_type().intern());
        }
    }

    @Test
    void factoryReadsPackedWeightsAndLeavesTheHeadDense() {
        Tensor weight = random(0.05, 12, 70);
        StoredTensors file = new StoredTensors().put("lm_head.weight", weight);
        QuantSettings other = new QuantSettings(QuantType.FP4, 128, false);
        try (QuantizedTensor packed = QuantizedTensor.quantize(weight, other)) {
            file.putAll(packed.toCheckpoint("a.weight"));
        }
        QuantizedLinearFactory factory = new QuantizedLinearFactory(QuantSettings.nf4());
        LinearSpec spec = new LinearSpec("a", 70, 12, false, false);
        assertEquals(true, factory.readsPacked(spec, file));
        try (Linear made = factory.create(spec, file, Placement.cpuFp32());
                Linear head =
                        factory.create(new LinearSpec("lm_head", 70, 12, false, true), file, Placement.cpuFp32())) {
            assertEquals(
                    other,
                    assertInstanceOf(QuantizedLinear.class, made).weight().settings());
            assertInstanceOf(DenseLinear.class, head);
        }
        LinearSpec swapped = new LinearSpec("a", 12, 70, false, false);
        ModelFileException refused =
                assertThrows(ModelFileException.class, () -> factory.create(swapped, file, Placement.cpuFp32()));
        assertTrue(refused.getMessage().contains("a.weight"), refused.getMessage());
    }

    @Test
    void factoryNamesAWeightThatCannotBeQuantized() {
        Tensor broken = Tensors.zeros(CPU, ScalarType.Float, 2, 2).div(Tensors.scalar(0));
        StoredTensors file = new StoredTensors().put("a.weight", broken);
        QuantizedLinearFactory factory = new QuantizedLinearFactory(QuantSettings.nf4());
        ModelFileException refused = assertThrows(
                ModelFileException.class,
                () -> factory.create(new LinearSpec("a", 2, 2, false, false), file, Placement.cpuFp32()));
        assertTrue(refused.getMessage().contains("a.weight"), refused.getMessage());
    }

    private QuantizedLinear linear(QuantType type, int out, int in, Tensor bias) {
        Tensor dense = random(0.1, out, in);
        return new QuantizedLinear(QuantizedTensor.quantize(dense, new QuantSettings(type, 64, true)), bias);
    }

    private Tensor random(double bound, long... shape) {
        return Tensors.uniform(CPU, random, bound, shape);
    }
}
